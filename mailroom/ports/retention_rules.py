"""The rules of the archive's retention."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from mailroom.domain.archive.retention import FinalAction, RetentionClass, RetentionRule


class RetentionRules(Protocol):
    """Rules in versions, which are only added. Each class of what is archived has a rule from the start."""

    def of(self, kind: RetentionClass) -> RetentionRule:
        """Return the newest version of the rule of a class; one that was added elsewhere may count only some seconds later.

        Raises:
            ConfigurationError: there is none. Nothing is archived without a rule.
        """

    def all(self) -> Sequence[RetentionRule]:
        """Return all versions, by name and version."""

    def add(
        self, name: str, *, days: int, basis: str, by: str, now: datetime, action: FinalAction | None = None
    ) -> RetentionRule:
        """Add a version of a rule and return it; locks that are set already stay. `action` is the last version's by default.

        Raises:
            ConfigurationError: these are no rule; see `rule_fault`.
            TransientError: another version was added at the same moment.
        """
