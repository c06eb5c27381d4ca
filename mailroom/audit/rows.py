"""Rows that cannot be used: times out of bounds, unknown words, values of another shape.

All loops skip such rows, so nothing else would report that their work is not done.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.abc import AdaptContext, Buffer, Loader
from psycopg.pq import Format
from psycopg.sql import SQL, Identifier

from mailroom.audit.report import Report

#: Values for times that Python cannot represent: a few days within its bounds, so that arithmetic does not overflow.
_FIRST, _LAST = datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC)
_EARLIEST, _LATEST = "1970-01-01", "3000-01-01"

#: The limit of violations of one kind; further ones are found when these are repaired.
_MOST = 100

#: Tables with times that came from outside, and the expressions that identify their rows.
_TIMES = {
    "batch": ("id::text", ("send_at", "expires_at", "created_at")),
    "message": ("id::text", ("due_at", "created_at", "handed_at")),
    "outbox": ("batch_id::text", ("due_at",)),
    "suppression": ("id::text", ("since", "expires_at")),
    "inbound_email": ("id::text", ("received_at", "closed_at")),
    "inbox_item": ("id::text", ("received_at", "filed_at")),
    "activity": ("message_id::text", ("at",)),
    "deposit": ("archive_id", ("retain_until", "deposited_at")),
    "deposit_copy": ("archive_id", ("retain_until",)),
}

_SHAPES = """
select 'unusable row' as kind, 'batch ' || id as subject, 'invalid sender' as what from batch
 where jsonb_typeof("from") <> 'object' or jsonb_typeof("from" -> 'address') is distinct from 'string'
union all
select 'unusable row', 'batch ' || id, 'invalid metadata' from batch where jsonb_typeof(metadata) <> 'object'
union all
select 'unknown word', 'batch ' || id, 'unknown lane or policy' from batch
 where lane not in ('transactional', 'bulk') or policy not in ('prefer_no_duplicate', 'prefer_delivery')
union all
select 'unusable row', 'message ' || id, 'invalid recipient' from message
 where jsonb_typeof("to") <> 'object' or jsonb_typeof("to" -> 'address') is distinct from 'string'
union all
select 'unusable row', 'e-mail ' || id, 'invalid envelope' from inbound_email
 where jsonb_typeof(envelope) <> 'null' and (jsonb_typeof(envelope) <> 'object' or jsonb_typeof(envelope -> 'recipients') is distinct from 'array'
       or jsonb_typeof(envelope -> 'verdicts') is distinct from 'object' or jsonb_typeof(envelope -> 'received_at') is distinct from 'string')
limit %(most)s
"""

_SKIPPED = """
select loop, subject, why from skipped_row where seen_at > now() - interval '2 hours' order by loop, subject limit %(most)s
"""


def saturate_times(connection: psycopg.Connection[Any]) -> None:
    """Read a time that Python cannot hold as the nearest that it can, in UTC, and JSON that it cannot read as a word: one
    row must not end the whole check.
    """
    connection.execute("set time zone 'UTC'")
    connection.adapters.register_loader("timestamptz", _Saturating)
    connection.adapters.register_loader("jsonb", _Bearing)


def check_rows(connection: psycopg.Connection[Any], report: Report) -> None:
    """Report rows that cannot be used, and those that loops skipped recently."""
    with connection.cursor() as cursor:
        for table, (name, columns) in _TIMES.items():
            for (subject,) in cursor.execute(_out_of_bounds(table, name, columns), {"most": _MOST}).fetchall():
                times = f"a time is not between {_EARLIEST} and {_LATEST}: {', '.join(columns)}"
                report.violate("unusable time", f"{table} {subject}", times)
        for kind, subject, what in cursor.execute(_SHAPES, {"most": _MOST}).fetchall():
            report.violate(kind, subject, f"{what}; see docs/operations.md for the repair")
        for loop, subject, reason in cursor.execute(_SKIPPED, {"most": _MOST}).fetchall():
            report.violate("skipped row", subject, f"{loop} skips it: {reason}")


def each(rows: Any, look: Callable[[Any], None], report: Report) -> None:
    """Call `look` for each row; a row for which it fails is reported, and the others are still checked."""
    for row in rows:
        try:
            look(row)
        except Exception as error:  # noqa: BLE001 - one broken row must not end the check of the others
            report.violate("unusable row", str(row.id), f"its history or items cannot be read ({type(error).__name__})")


def _out_of_bounds(table: str, name: str, columns: tuple[str, ...]) -> Any:
    wrong = SQL(" or ").join(
        SQL("{0} < {1}::timestamptz or {0} >= {2}::timestamptz").format(Identifier(column), _EARLIEST, _LATEST)
        for column in columns
    )
    return SQL("select {} as subject from {} where {} limit %(most)s").format(SQL(name), Identifier(table), wrong)


class _Saturating:
    format = Format.TEXT

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        usual = psycopg.adapters.get_loader(oid, Format.TEXT)
        assert usual is not None
        self._usual: Loader = usual(oid, context)

    def load(self, data: Buffer) -> datetime:
        try:
            time: datetime = self._usual.load(data)
        except (psycopg.DataError, OverflowError, ValueError):
            text = bytes(data)
            return _FIRST if text.startswith(b"-") or text.endswith(b"BC") else _LAST
        return min(max(time, _FIRST), _LAST)


class _Bearing:
    format = Format.TEXT

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        usual = psycopg.adapters.get_loader(oid, Format.TEXT)
        assert usual is not None
        self._usual: Loader = usual(oid, context)

    def load(self, data: Buffer) -> Any:
        try:
            return self._usual.load(data)
        except (ValueError, RecursionError):
            return "unreadable"
