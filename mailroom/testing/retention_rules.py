"""The rules of the archive's retention in memory."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from mailroom.domain.archive.retention import RULES, FinalAction, RetentionClass, RetentionRule, rule_fault
from mailroom.domain.errors import ConfigurationError

_SINCE = datetime(2026, 1, 1, tzinfo=UTC)


class MemoryRetentionRules:
    """The port `RetentionRules` in memory: documents for `document`, everything else for `other`, both in whole days."""

    def __init__(self, document: timedelta = timedelta(days=3650), other: timedelta = timedelta(days=30)) -> None:
        self.versions = [_first(name, document if name == "document" else other) for name in RULES]

    def of(self, kind: RetentionClass) -> RetentionRule:
        """Return the newest version of the rule of a class."""
        versions = [one for one in self.all() if one.name == kind.rule]
        if not versions:
            raise ConfigurationError(f"the archive has no retention rule {kind.rule}")
        return versions[-1]

    def all(self) -> Sequence[RetentionRule]:
        """Return all versions, by name and version."""
        return sorted(self.versions, key=lambda one: (one.name, one.version))

    def add(
        self, name: str, *, days: int, basis: str, by: str, now: datetime, action: FinalAction | None = None
    ) -> RetentionRule:
        """Add a version of a rule and return it."""
        if fault := rule_fault(name, days, basis):
            raise ConfigurationError(f"{name}: {fault}")
        known = [one for one in self.all() if one.name == name]
        kept = action or (known[-1].action if known else FinalAction.REVIEW)
        number = known[-1].version + 1 if known else 1
        rule = RetentionRule(name=name, version=number, days=days, action=kept, basis=basis, since=now, by=by)
        self.versions.append(rule)
        return rule


def _first(name: str, period: timedelta) -> RetentionRule:
    return RetentionRule(
        name=name, version=1, days=period.days, action=FinalAction.REVIEW, basis="tests", since=_SINCE, by="tests"
    )
