"""Puts the archived entries of a journal back into the database, chained as PostgreSQL chains them.

What the seals have is what counts. Entries of the database that are not those that were sealed (made since an older database
was restored, by `mailroom migrate` in a new one, or by somebody who altered the journal) are entered again after them, marked
with the number and the time that they had: nothing is dropped, and nothing that was not sealed stands where a sealed entry was.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from mailroom.adapters.postgres.archive.journal import append_entries
from mailroom.domain.archive.journal import JournalEntry, OperationsKind, Stream
from mailroom.domain.archive.manifests import canonical
from mailroom.domain.errors import PermanentError
from mailroom.ports.rebuilding import OwnEntry, PutBack

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Entries that are read or inserted at once.
_TOGETHER = 5000

_LOCK = text("select from journal_head where tenant = :tenant and stream = :stream for update")
#: An administrator may have written a time that Python cannot hold, or any number: it is no reason not to recover.
_OWN = text("""
    select seq, case when at between '1900-01-01' and '9000-01-01' then at end as at, payload, prev, hash, kind, subject from journal
    where tenant = :tenant and stream = :stream and seq > :after order by seq limit :limit
""")
#: The trigger refuses it to everybody; its owner disables it for this transaction, and nobody else sees the table meanwhile.
_CLEAR = (
    "alter table journal disable trigger journal_kept",
    "delete from journal where tenant = :tenant and stream = :stream and (seq >= :first or seq < 1)",
    "alter table journal enable trigger journal_kept",
)
_ENTRY = text("""
    insert into journal (tenant, stream, seq, at, payload, prev, hash)
    values (:tenant, :stream, :seq, :at, :payload, :prev, :hash)
""")
_HEAD = text("""
    insert into journal_head (tenant, stream, seq, at, hash, is_clock_back) values (:tenant, :stream, :seq, :at, :hash, false)
    on conflict (tenant, stream) do update set seq = excluded.seq, at = excluded.at, hash = excluded.hash, is_clock_back = false
""")
_APPEND = text("select journal_append(:tenant, :stream, :payload)")


def put_back(
    connection: Connection,
    tenant: str,
    stream: str,
    entries: Iterable[tuple[int, int, str]],
    *,
    kind: OperationsKind,
    dry_run: bool = False,
) -> PutBack | None:
    """Put back the entries (`seq`, `at`, `payload`) that the journal does not have, then an entry `kind`; None if it has all.

    Raises:
        PermanentError: there is a gap.
    """
    of: dict[str, Any] = {"tenant": tenant, "stream": stream}
    connection.execute(_LOCK, of)
    missing, own = _fork(connection, of, _chained(tenant, stream, entries))
    page = _page(missing, of)
    if not page:
        return None
    first, sealed = page[0]["seq"], set[tuple[datetime, str]]()
    if own and not dry_run:
        for change in _CLEAR:
            connection.execute(text(change), of | {"first": first} if ":tenant" in change else {})
    last = page[-1]
    while page:
        sealed |= {(one["at"], one["payload"]) for one in page} if own else set()
        if not dry_run:
            connection.execute(_ENTRY, page)
        last, page = page[-1], _page(missing, of)
    again = [one for one in own if (one.at, one.payload) not in sealed]
    if not dry_run:
        connection.execute(_HEAD, last)
        facts = {"first": first, "last_seq": last["seq"], "last_hash": last["hash"].hex(), "again": len(again)}
        append_entries(connection, [JournalEntry(tenant, kind, None, facts, Stream(stream))])
        for one in again:
            connection.execute(_APPEND, of | {"payload": _again(one)})
    return PutBack(first, last["seq"], [OwnEntry(one.seq, str(one.kind), one.subject) for one in again])


def _fork(
    connection: Connection, of: dict[str, Any], sealed: Iterator[dict[str, Any]]
) -> tuple[Iterator[dict[str, Any]], list[Any]]:
    """Return the sealed entries from the first one that the journal does not have as it was sealed, and the journal's from there."""
    own = _own(connection, of)
    for one in sealed:
        there = next(own, None)
        if there is None:
            return itertools.chain([one], sealed), []
        has = there.seq, there.at, there.payload, bytes(there.prev), bytes(there.hash)
        if has != (one["seq"], one["at"], one["payload"], one["prev"], one["hash"]):
            return itertools.chain([one], sealed), [there, *own]
    return iter(()), []


def _own(connection: Connection, of: dict[str, Any]) -> Iterator[Any]:
    after = -(2**63)
    while page := connection.execute(_OWN, of | {"after": after, "limit": _TOGETHER}).all():
        yield from page
        after = page[-1].seq


def _again(own: Any) -> str:
    """Return the payload of an entry that is entered again: what it was, with the number and the time that it had."""
    try:
        facts = json.loads(own.payload)
    except (ValueError, RecursionError):
        facts = None
    known = facts if isinstance(facts, dict) and "kind" in facts else {"kind": "unreadable", "payload": own.payload}
    at = own.at.astimezone(UTC).isoformat() if own.at else None
    return canonical(known | {"again": {"seq": own.seq, "at": at}}).decode()


def _page(chained: Iterator[dict[str, Any]], of: dict[str, Any]) -> list[dict[str, Any]]:
    return [of | one for one in itertools.islice(chained, _TOGETHER)]


def _chained(tenant: str, stream: str, entries: Iterable[tuple[int, int, str]]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a journal's entries, each linked to the one before it.

    Raises:
        PermanentError: there is a gap.
    """
    prev = hashlib.sha256(f"mailroom journal {tenant} {stream}".encode()).digest()
    for number, (seq, at, payload) in enumerate(entries, start=1):
        if seq != number:
            raise PermanentError("the archived journal has a gap", journal=f"{tenant}/{stream}", seq=number)
        link = b"\x00" + prev + seq.to_bytes(8, "big") + at.to_bytes(8, "big", signed=True) + payload.encode()
        digest = hashlib.sha256(link).digest()
        moment = _EPOCH + timedelta(microseconds=at)
        yield {"seq": seq, "at": moment, "payload": payload, "prev": prev, "hash": digest}
        prev = digest
