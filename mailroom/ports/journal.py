"""The archive's journals: two for each tenant, which only grow."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mailroom.domain.archive.journal import JournalEntry, Stream


class Journal(Protocol):
    """Where entries are appended. Nothing in a journal is changed or removed."""

    def append(
        self, tenant: str, stream: Stream, kind: str, subject: str | None = None, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Append an entry; it is stored when this returns.

        Raises:
            TransientError: it is not stored, or that is not known.
        """

    def append_all(self, entries: Sequence[JournalEntry]) -> None:
        """Append all of these entries, or none.

        Raises:
            TransientError: none is stored, or that is not known.
        """
