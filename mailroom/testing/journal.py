"""The port `Journal` in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mailroom.domain.archive.journal import JournalEntry, Stream, in_order


@dataclass(slots=True)
class MemoryJournal:
    """The port `Journal`."""

    entries: list[JournalEntry] = field(default_factory=list)

    def append(
        self, tenant: str, stream: Stream, kind: str, subject: str | None = None, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Append an entry."""
        self.append_all([JournalEntry(tenant, kind, subject, facts or {}, stream)])

    def append_all(self, entries: Sequence[JournalEntry]) -> None:
        """Append entries."""
        self.entries += in_order(entries)
