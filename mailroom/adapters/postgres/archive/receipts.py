"""Receipts of deposits in SQL: recorded once, with the place of each copy, and journalled in the same statement.

A deposit is only inserted: it is the receipt as it was first given. Where its copies are, and until when they are locked, is
in `deposit_copy`, whose retention only grows: a version that replaces another at its place must be locked for at least as
long as `kept_until` says, before it is recorded. If it is not, the row keeps the later date, which the bucket does not
confirm, and a check of the archive reports that; the journal has the date of the version.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, and_, func, select, text

from mailroom.adapters.postgres.archive.models import DepositCopyRow
from mailroom.adapters.postgres.engine import statement, transaction
from mailroom.adapters.postgres.models import DepositRow, table
from mailroom.domain.archive.journal import JournalEntry, Kind
from mailroom.domain.archive.manifests import canonical
from mailroom.ports.archive import Deposit

FIRST, SECOND = "first", "second"

_deposits, _copies = table(DepositRow), table(DepositCopyRow)

_ENTRIES = {"copied": Kind.COPY, "extended": Kind.EXTEND}

#: What a copy's row says instead of the deposit's, since a copy may be replaced and its lock extended.
_OF_COPY = frozenset({"bucket", "key", "version", "lock_mode", "retain_until", "verified_at"})

# Rows are locked in the order of their keys, and the journals' heads after all of them, in the order of tenants' names: by every writer.
# As JSON, whose rows PostgreSQL does not count: with arrays each execution would be planned again.
_RECORD = text("""
with given as (
    select * from json_to_recordset(cast(:given as json)) as one(archive_id text, tenant text, sha256 text, sha512 text, size bigint,
        place text, bucket text, key text, version text, lock_mode text, retain_until timestamptz, verified_at timestamptz,
        deposited text, copied text, extended text)
), made as (
    insert into deposit (archive_id, tenant, sha256, sha512, size, bucket, key, version, lock_mode, retain_until,
        deposited_at, verified_at)
    select archive_id, tenant, sha256, sha512, size, bucket, key, version, lock_mode, retain_until, :deposited_at, verified_at
    from given where place = 'first' order by archive_id collate "C"
    on conflict (archive_id) do nothing returning archive_id
), kept as (
    insert into deposit_copy as known (archive_id, place, bucket, key, version, lock_mode, retain_until, verified_at)
    select archive_id, place, bucket, key, version, lock_mode, retain_until, verified_at from given
    order by archive_id collate "C", place
    on conflict (archive_id, place) do update set
        bucket = excluded.bucket, key = excluded.key, version = excluded.version,
        lock_mode = case when (known.bucket, known.key, known.version) = (excluded.bucket, excluded.key, excluded.version)
            and known.lock_mode = 'COMPLIANCE' then known.lock_mode else excluded.lock_mode end,
        retain_until = greatest(known.retain_until, excluded.retain_until),
        verified_at = greatest(known.verified_at, excluded.verified_at)
    where (known.bucket, known.key, known.version) <> (excluded.bucket, excluded.key, excluded.version)
        or known.retain_until < excluded.retain_until
        or (excluded.lock_mode = 'COMPLIANCE' and known.lock_mode <> 'COMPLIANCE')
    returning archive_id, place, xmax = 0 as is_new
), seen as (
    update deposit_copy as copy set verified_at = greatest(copy.verified_at, given.verified_at) from given
    where copy.archive_id = given.archive_id and copy.place = given.place
        and (given.archive_id, given.place) not in (select archive_id, place from kept)
), changed as (
    select tenant, archive_id, place, case
        when place = 'first' and archive_id in (select archive_id from made) then deposited
        when kept.is_new or not exists (select from deposit_copy as before where before.archive_id = given.archive_id
            and (before.place, before.bucket, before.key, before.version)
                = (given.place, given.bucket, given.key, given.version)) then copied
        else extended end as payload
    from given left join kept using (archive_id, place)
    where kept.place is not null or (place = 'first' and archive_id in (select archive_id from made))
)
select count(journal_append(one.tenant, 'life', one.payload))
from (select tenant, payload from changed order by tenant collate "C", archive_id collate "C", place) as one
""")


@dataclass(frozen=True, slots=True)
class Copy:
    """Where one copy of a deposit is, and its lock; `place` is `first` or `second`."""

    place: str
    bucket: str
    key: str
    version: str
    lock_mode: str
    retain_until: datetime


@dataclass(frozen=True, slots=True)
class Recording:
    """What is recorded of a deposit: its receipt, which is that of its first copy, the rule, and its other copies."""

    receipt: Deposit
    rule: str | None = None
    others: Sequence[Copy] = ()


class SqlReceipts:
    """Deposit receipts in PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, receipt: Deposit, *, rule: str | None = None, others: Sequence[Copy] = ()) -> None:
        """Record a deposit, whose receipt is its first copy, and `others`; all of it and the journal's entries, or nothing.

        What is known already changes nothing but the time of verification, which is no entry.
        """
        self.record_all([Recording(receipt, rule, others)])

    def record_all(self, recordings: Sequence[Recording]) -> None:
        """Record distinct deposits as `record` does; all of them, or nothing."""
        if recordings:
            with statement(self._engine, "commit of record") as connection:
                _record_in(connection, recordings)

    def record_in(
        self, connection: Connection, receipt: Deposit, *, rule: str | None = None, others: Sequence[Copy] = ()
    ) -> None:
        """Record a deposit in the caller's transaction, as its last statement."""
        _record_in(connection, [Recording(receipt, rule, others)])

    def find(self, archive_id: str) -> Deposit | None:
        """Return the receipt of `archive_id` with the place and lock of its first copy, or None."""
        with transaction(self._engine) as connection:
            row = connection.execute(receipts_of([archive_id])).first()
        return deposit_of(row) if row else None

    def versions(self, bucket: str, key: str) -> Sequence[str]:
        """Return the versions under this key that are copies of a deposit."""
        named = select(_copies.c.version).where(_copies.c.bucket == bucket, _copies.c.key == key)
        with transaction(self._engine) as connection:
            return connection.execute(named).scalars().all()

    def kept_until(self, bucket: str, key: str) -> datetime | None:
        """Return until when what replaces the version under this key must be locked at least, None if nothing is known."""
        longest = select(func.max(_copies.c.retain_until)).where(_copies.c.bucket == bucket, _copies.c.key == key)
        with transaction(self._engine) as connection:
            until: datetime | None = connection.execute(longest).scalar_one()
        return until


def receipts_of(archive_ids: Collection[str], *more: Any) -> Select[Any]:
    """Return a query of deposits, each with the place and lock of its first copy, and of `more` columns."""
    columns = [(_copies if one.name in _OF_COPY else _deposits).c[one.name] for one in _deposits.c]
    is_first = and_(_copies.c.archive_id == _deposits.c.archive_id, _copies.c.place == FIRST)
    return (
        select(*columns, *more).join_from(_deposits, _copies, is_first).where(_deposits.c.archive_id.in_(archive_ids))
    )


def deposit_of(row: Any) -> Deposit:
    """Return a deposit receipt from its row; without a time of verification, the time of deposit counts."""
    values = {name: getattr(row, name) for name in Deposit.__slots__}
    return Deposit(**values | {"verified_at": row.verified_at or row.deposited_at})


def _record_in(connection: Connection, recordings: Sequence[Recording]) -> None:
    given = canonical([row for one in recordings for row in _rows(one)]).decode()
    connection.execute(_RECORD, {"given": given, "deposited_at": datetime.now(UTC)})


def _rows(recording: Recording) -> Iterator[dict[str, Any]]:
    """Yield a row for each copy: the deposit, the copy, and the entries of the journal of which one is appended."""
    receipt = recording.receipt
    first = Copy(FIRST, *(getattr(receipt, name) for name in Copy.__slots__ if name != "place"))
    of_deposit = {name: getattr(receipt, name) for name in ("archive_id", "tenant", "sha256", "sha512", "size")}
    of_deposit["deposited"] = _deposited(receipt, first, recording.rule).payload
    of_deposit["verified_at"] = receipt.verified_at.isoformat() if receipt.verified_at else None
    for copy in [first, *recording.others]:
        of_copy = {name: getattr(copy, name) for name in Copy.__slots__}
        entries = {name: _of_copy(receipt, kind, copy).payload for name, kind in _ENTRIES.items()}
        yield of_deposit | of_copy | entries | {"retain_until": copy.retain_until.isoformat()}


def _deposited(receipt: Deposit, first: Copy, rule: str | None) -> JournalEntry:
    facts = {"sha256": receipt.sha256, "sha512": receipt.sha512, "size": receipt.size, "rule": rule, **_lock(first)}
    return JournalEntry(receipt.tenant, Kind.DEPOSIT, receipt.archive_id, facts)


def _of_copy(receipt: Deposit, kind: Kind, copy: Copy) -> JournalEntry:
    return JournalEntry(receipt.tenant, kind, receipt.archive_id, _lock(copy))


def _lock(copy: Copy) -> dict[str, str]:
    until = copy.retain_until.astimezone(UTC).isoformat()
    return {"place": copy.place, "version": copy.version, "mode": copy.lock_mode, "until": until}
