"""The rows of the archive and its journals, in the order of the keys under which their objects are.

Nothing is cast in SQL that an administrator of the database may have written: one value must not end the whole verification.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

_PAGE = 5000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_cursors = count()

#: Kinds of entries that say where a deposit's copies are.
OF_COPIES = ("deposit", "copy", "extend", "repair")


@dataclass(frozen=True, slots=True)
class Scope:
    """What is verified: a tenant, the deposits `documents`, the mails `emails`; None is all."""

    tenant: str | None = None
    documents: tuple[str, ...] | None = None
    emails: tuple[str, ...] | None = None

    @property
    def is_part(self) -> bool:
        """Whether single documents or mails are verified, and not all of a tenant."""
        return self.documents is not None or self.emails is not None

    def values(self) -> dict[str, Any]:
        """Return the parameters of the queries."""
        return {
            "tenant": self.tenant,
            "documents": None if self.documents is None else list(self.documents),
            "emails": None if self.emails is None else list(self.emails),
            "kinds": list(OF_COPIES),
        }


def key_of(archive_id: str) -> str:
    """Return the key of a deposit's object."""
    tenant, _, digest = archive_id.partition("/")
    return f"{tenant}/{digest[:2]}/{digest}"


def deposits(connection: psycopg.Connection[Any], scope: Scope) -> Iterator[Any]:
    """Yield the receipts, by key."""
    return rows(connection, _DEPOSITS, scope.values())


def copies(connection: psycopg.Connection[Any], scope: Scope) -> Iterator[Any]:
    """Yield the copies, by the key of their deposit."""
    return rows(connection, _COPIES, scope.values())


def entries(connection: psycopg.Connection[Any], scope: Scope) -> Iterator[Any]:
    """Yield the entries about copies of deposits, by the key of the deposit, then as they happened."""
    return rows(connection, _ENTRIES, scope.values())


def first_deposits(connection: psycopg.Connection[Any]) -> list[Any]:
    """Return the entry of the first deposit in each journal, the earliest first."""
    return sorted(rows(connection, _FIRST, {}), key=lambda one: one.at)


def rows(
    connection: psycopg.Connection[Any], query: str, values: dict[str, Any], *, page: int = _PAGE
) -> Iterator[Any]:
    """Yield the rows of a query, fetched a page at a time; several queries may be read at once."""
    with connection.cursor(name=f"verifying_{next(_cursors)}", row_factory=namedtuple_row) as cursor:
        cursor.itersize = page
        cursor.execute(query, values)
        yield from cursor


def facts_of(payload: Any) -> dict[str, Any]:
    """Return the facts of an entry; none for what is no JSON object."""
    try:
        facts = json.loads(payload)
    except (TypeError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def time_of(value: Any) -> datetime | None:
    """Return a time from a text of ISO 8601; None if it is none."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def microseconds(moment: datetime) -> int:
    """Return a time as microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _key(column: str) -> str:
    """Return the SQL of a deposit's key, from the column with its id."""
    digest = f"split_part({column}, '/', 2)"
    return f"(split_part({column}, '/', 1) || '/' || left({digest}, 2) || '/' || {digest}) collate \"C\""


_WANTED = "(%(documents)s::text[] is null or {0} = any(%(documents)s))"

_DEPOSITS = f"""
select 'deposit' as row, {_key("d.archive_id")} as at_key, d.archive_id, d.tenant, d.sha256, d.sha512, d.size, d.bucket, d.key,
       d.version, d.lock_mode, d.retain_until, d.deposited_at
  from deposit d
 where (%(tenant)s::text is null or d.tenant = %(tenant)s) and {_WANTED.format("d.archive_id")}
 order by 2
"""  # noqa: S608 - constants

_COPIES = f"""
select 'copy' as row, {_key("c.archive_id")} as at_key, c.archive_id, c.place, c.bucket, c.key, c.version, c.lock_mode,
       c.retain_until
  from deposit_copy c
 where (%(tenant)s::text is null or split_part(c.archive_id, '/', 1) = %(tenant)s) and {_WANTED.format("c.archive_id")}
 order by 2, c.place
"""  # noqa: S608 - constants

_FIRST = """
select distinct on (tenant) tenant, subject, at, payload from journal
 where stream = 'life' and kind = 'deposit' and subject is not null order by tenant, seq
"""

_ENTRIES = f"""
select 'entry' as row, {_key("j.subject")} as at_key, j.subject as archive_id, j.tenant, j.kind, j.seq, j.at, j.payload
  from journal j
 where j.stream = 'life' and j.kind = any(%(kinds)s) and j.subject is not null
       and (%(tenant)s::text is null or j.tenant = %(tenant)s) and {_WANTED.format("j.subject")}
 order by 2, j.seq
"""  # noqa: S608 - constants
