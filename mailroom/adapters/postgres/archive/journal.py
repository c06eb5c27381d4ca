"""Appends to the archive's journals, which PostgreSQL chains (docs/adr/0055)."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, text

from mailroom.adapters.postgres.engine import statement
from mailroom.domain.archive.journal import JournalEntry, Stream, in_order

_APPEND = text(
    "select journal_append(one.tenant, one.stream, one.payload) from (select * from"
    " unnest(cast(:tenants as text[]), cast(:streams as text[]), cast(:payloads as text[]))"
    " with ordinality as given(tenant, stream, payload, number) order by number) as one"
)


class SqlJournal:
    """The port `Journal` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def append(
        self, tenant: str, stream: Stream, kind: str, subject: str | None = None, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Append an entry."""
        self.append_all([JournalEntry(tenant, kind, subject, facts or {}, stream)])

    def append_all(self, entries: Sequence[JournalEntry]) -> None:
        """Append entries, in one statement."""
        if entries:
            with statement(self._engine, "commit of journal") as connection:
                append_entries(connection, entries)


def append_entries(connection: Connection, entries: Sequence[JournalEntry]) -> None:
    """Append entries in the caller's transaction, as its LAST statement, and all of them by one call.

    From here to the commit every other writer of these tenants' journals waits. Transactions that append by two calls, or
    take other locks afterwards, could wait for each other.
    """
    if entries:
        ordered = in_order(entries)
        connection.execute(
            _APPEND,
            {
                "tenants": [one.tenant for one in ordered],
                "streams": [one.stream.value for one in ordered],
                "payloads": [one.payload for one in ordered],
            },
        )
