"""The rules of the archive's retention in SQL: rows that are only inserted."""

import time
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from threading import Lock
from typing import Any

from sqlalchemy import Engine, insert, select
from sqlalchemy.exc import IntegrityError

from mailroom.adapters.postgres.archive.journal import append_entries
from mailroom.adapters.postgres.archive.models import RetentionRuleRow
from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import table
from mailroom.domain.archive.journal import JournalEntry, Stream
from mailroom.domain.archive.retention import FinalAction, RetentionClass, RetentionRule, Trigger, rule_fault
from mailroom.domain.errors import ConfigurationError, TransientError
from mailroom.domain.tenants import NOBODY

_rules = table(RetentionRuleRow)

#: How long a reading of the rules is used, in seconds: each deposit needs one.
_FRESH_S = 10.0


class SqlRetentionRules:
    """The port `RetentionRules` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._newest: dict[str, RetentionRule] = {}
        self._read_at = float("-inf")
        self._lock = Lock()

    def of(self, kind: RetentionClass) -> RetentionRule:
        """Return the newest version of the rule of a class."""
        with self._lock:
            if time.monotonic() - self._read_at > _FRESH_S:
                # In the order of versions, so that the newest of each name stays.
                self._newest, self._read_at = {one.name: one for one in self.all()}, time.monotonic()
            rule = self._newest.get(kind.rule)
        if rule is None:
            raise ConfigurationError(f"the archive has no retention rule {kind.rule}; see `mailroom archive rules`")
        return rule

    def all(self) -> Sequence[RetentionRule]:
        """Return all versions, by name and version."""
        with transaction(self._engine) as connection:
            return [_rule(row) for row in connection.execute(select(_rules).order_by(_rules.c.name, _rules.c.version))]

    def add(
        self, name: str, *, days: int, basis: str, by: str, now: datetime, action: FinalAction | None = None
    ) -> RetentionRule:
        """Add a version of a rule and its entry in the journal of the installation's operations."""
        if fault := rule_fault(name, days, basis):
            raise ConfigurationError(f"{name}: {fault}")
        last = max((one for one in self.all() if one.name == name), key=lambda one: one.version, default=None)
        rule = RetentionRule(
            name=name,
            version=last.version + 1 if last else 1,
            days=days,
            action=action or (last.action if last else FinalAction.REVIEW),
            basis=basis,
            since=now,
            by=by,
        )
        facts = {"rule": rule.label, "days": days, "action": rule.action, "trigger": rule.trigger}
        with transaction(self._engine, "commit of rule") as connection:
            try:
                connection.execute(insert(_rules), {one.name: getattr(rule, one.name) for one in fields(rule)})
            except IntegrityError:
                raise TransientError("another version of the rule was added at the same moment", rule=name) from None
            append_entries(connection, [JournalEntry(NOBODY, "rule", facts=facts, stream=Stream.OPERATIONS)])
        with self._lock:
            self._read_at = float("-inf")
        return rule


def _rule(row: Any) -> RetentionRule:
    values = {one.name: getattr(row, one.name) for one in fields(RetentionRule)}
    return RetentionRule(**values | {"action": FinalAction(row.action), "trigger": Trigger(row.trigger)})
