"""Values that PostgreSQL keeps and Python cannot, read as something that can be, so that no row breaks the read of others.

PostgreSQL's times go from 4713 BC to 294276 and to both infinities; psycopg raises for what no `datetime` can be, and one such
row would cost a whole list, metric or loop. What comes in by our own doors is bounded (`mailroom.domain.times`); this is for
what older code or a person's SQL left behind. JSON may hold a number with more digits than Python reads, or be nested too deep.
"""

from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.abc import AdaptContext, Buffer, Loader
from psycopg.pq import Format

#: A few days inside of what `datetime` can be, so that any offset can be applied to them.
FIRST, LAST = datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC)

#: What JSON is read as that cannot be read: no object and no list, so that whoever needs either steps over its row.
UNREADABLE = "unreadable"

_TIMESTAMPTZ = "timestamptz"


def saturate_times(connection: psycopg.Connection[Any]) -> None:
    """Make every time that this connection reads one that Python can hold. The connection's time zone must be UTC."""
    connection.adapters.register_loader(_TIMESTAMPTZ, _Saturating)


def bear_json(connection: psycopg.Connection[Any]) -> None:
    """Make JSON that Python cannot read be read as `UNREADABLE`."""
    for kind in ("json", "jsonb"):
        connection.adapters.register_loader(kind, _Bearing)


class _OverUsual:
    """Loads text with psycopg's own loader first."""

    format = Format.TEXT

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        usual = psycopg.adapters.get_loader(oid, Format.TEXT)
        assert usual is not None
        self._usual: Loader = usual(oid, context)


class _Saturating(_OverUsual):
    """Loads a `timestamptz` in text, and what cannot be loaded as the nearest time that can."""

    def load(self, data: Buffer) -> datetime:
        """Return the time; never raises for one that PostgreSQL keeps."""
        try:
            time: datetime = self._usual.load(data)
        except (psycopg.DataError, OverflowError, ValueError):
            text = bytes(data)
            return FIRST if text.startswith(b"-") or text.endswith(b"BC") else LAST
        return min(max(time, FIRST), LAST)


class _Bearing(_OverUsual):
    """Loads JSON in text."""

    def load(self, data: Buffer) -> Any:
        """Return the value; never raises for what PostgreSQL keeps."""
        try:
            return self._usual.load(data)
        except (ValueError, RecursionError):
            return UNREADABLE
