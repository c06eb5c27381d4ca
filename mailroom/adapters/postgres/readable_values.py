"""Loaders for stored values that Python cannot represent, so that one such row does not break the read of others.

PostgreSQL's times go from 4713 BC to 294276 and to both infinities; psycopg raises for what no `datetime` can be, and one such
row would break a whole list, metric or loop. Input is bounded (`mailroom.domain.times`); this is for rows that older code or
a person's SQL wrote. JSON may have a number with more digits than Python reads, or be nested too deep.
"""

from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.abc import AdaptContext, Buffer, Loader
from psycopg.pq import Format

#: A few days inside of what `datetime` can be, so that any offset can be applied to them.
FIRST, LAST = datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC)

#: Replaces unreadable JSON: neither an object nor a list, so that code which needs either skips the row.
UNREADABLE = "unreadable"

_TIMESTAMPTZ = "timestamptz"


def saturate_times(connection: psycopg.Connection[Any]) -> None:
    """Have this connection read every time as one that `datetime` can hold. The connection's time zone must be UTC."""
    connection.adapters.register_loader(_TIMESTAMPTZ, _SaturatedTime)


def tolerate_unreadable_json(connection: psycopg.Connection[Any]) -> None:
    """Have this connection read JSON that Python cannot read as `UNREADABLE`."""
    for kind in ("json", "jsonb"):
        connection.adapters.register_loader(kind, _TolerantJson)


class _PsycopgFirst:
    """Tries psycopg's own loader of a type's text format first."""

    format = Format.TEXT

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        usual = psycopg.adapters.get_loader(oid, Format.TEXT)
        assert usual is not None
        self._usual: Loader = usual(oid, context)


class _SaturatedTime(_PsycopgFirst):
    """Loads a `timestamptz` from text; a time out of range becomes the nearest one in range."""

    def load(self, data: Buffer) -> datetime:
        """Return the time; never raises for a stored one."""
        try:
            time: datetime = self._usual.load(data)
        except (psycopg.DataError, OverflowError, ValueError):
            text = bytes(data)
            return FIRST if text.startswith(b"-") or text.endswith(b"BC") else LAST
        return min(max(time, FIRST), LAST)


class _TolerantJson(_PsycopgFirst):
    """Loads JSON from text."""

    def load(self, data: Buffer) -> Any:
        """Return the value; never raises for a stored one."""
        try:
            return self._usual.load(data)
        except (ValueError, RecursionError):
            return UNREADABLE
