"""Receipts of deposits in SQL: recorded once, with the place of each copy, and journalled in the same statement.

A deposit is only inserted: it is the receipt as it was first given. Where its copies are, and until when they are locked, is
in `deposit_copy`, whose retention only grows: a version that replaces another at its place must be locked for at least as
long as `kept_until` says, before it is recorded. If it is not, the row keeps the later date, which the bucket does not
confirm, and a check of the archive reports that; the journal has the date of the version.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, and_, func, select, text

from mailroom.adapters.postgres.archive.models import DepositCopyRow
from mailroom.adapters.postgres.engine import statement, transaction
from mailroom.adapters.postgres.models import DepositRow, table
from mailroom.domain.archive.journal import JournalEntry, Kind
from mailroom.ports.archive import Deposit

FIRST, SECOND = "first", "second"

_deposits, _copies = table(DepositRow), table(DepositCopyRow)

#: What a copy's row says instead of the deposit's, since a copy may be replaced and its lock extended.
_OF_COPY = frozenset({"bucket", "key", "version", "lock_mode", "retain_until", "verified_at"})

# The sort keeps the append to the end: the copies' rows are locked before the journal's head, by every writer.
_RECORD = text("""
with given as (
    select * from unnest(cast(:places as text[]), cast(:buckets as text[]), cast(:keys as text[]),
        cast(:versions as text[]), cast(:lock_modes as text[]), cast(:untils as timestamptz[]),
        cast(:copied as text[]), cast(:extended as text[]))
        as given(place, bucket, key, version, lock_mode, retain_until, copied, extended)
), made as (
    insert into deposit (archive_id, tenant, sha256, sha512, size, bucket, key, version, lock_mode, retain_until,
        deposited_at, verified_at)
    values (:archive_id, :tenant, :sha256, :sha512, :size, :bucket, :key, :version, :lock_mode, :retain_until,
        :deposited_at, :verified_at)
    on conflict (archive_id) do nothing returning archive_id
), kept as (
    insert into deposit_copy as known (archive_id, place, bucket, key, version, lock_mode, retain_until, verified_at)
    select :archive_id, place, bucket, key, version, lock_mode, retain_until, :verified_at from given
    on conflict (archive_id, place) do update set
        bucket = excluded.bucket, key = excluded.key, version = excluded.version,
        lock_mode = case when (known.bucket, known.key, known.version) = (excluded.bucket, excluded.key, excluded.version)
            and known.lock_mode = 'COMPLIANCE' then known.lock_mode else excluded.lock_mode end,
        retain_until = greatest(known.retain_until, excluded.retain_until),
        verified_at = greatest(known.verified_at, excluded.verified_at)
    where (known.bucket, known.key, known.version) <> (excluded.bucket, excluded.key, excluded.version)
        or known.retain_until < excluded.retain_until
        or (excluded.lock_mode = 'COMPLIANCE' and known.lock_mode <> 'COMPLIANCE')
    returning place, xmax = 0 as is_new
), seen as (
    update deposit_copy set verified_at = greatest(verified_at, :verified_at)
    where archive_id = :archive_id and place in (select place from given) and place not in (select place from kept)
), changed as (
    select given.place, case
        when given.place = 'first' and exists (select from made) then cast(:deposited as text)
        when kept.is_new or not exists (select from deposit_copy as before where before.archive_id = :archive_id
            and (before.place, before.bucket, before.key, before.version)
                = (given.place, given.bucket, given.key, given.version)) then given.copied
        else given.extended end as payload
    from given left join kept using (place)
    where kept.place is not null or (given.place = 'first' and exists (select from made))
)
select journal_append(:tenant, 'life', one.payload) from (select payload from changed order by place) as one
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


class SqlReceipts:
    """Deposit receipts in PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, receipt: Deposit, *, rule: str | None = None, others: Sequence[Copy] = ()) -> None:
        """Record a deposit, whose receipt is its first copy, and `others`; all of it and the journal's entries, or nothing.

        What is known already changes nothing but the time of verification, which is no entry.
        """
        with statement(self._engine, "commit of record") as connection:
            self.record_in(connection, receipt, rule=rule, others=others)

    def record_in(
        self, connection: Connection, receipt: Deposit, *, rule: str | None = None, others: Sequence[Copy] = ()
    ) -> None:
        """Record a deposit in the caller's transaction, as its last statement."""
        first = Copy(FIRST, *(getattr(receipt, name) for name in Copy.__slots__ if name != "place"))
        values = {name: getattr(receipt, name) for name in receipt.__slots__}
        values |= {"deposited_at": datetime.now(UTC), "deposited": _deposited(receipt, first, rule).payload}
        connection.execute(_RECORD, values | _arrays(receipt, [first, *others]))

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


def _arrays(receipt: Deposit, copies: Sequence[Copy]) -> dict[str, list[Any]]:
    return {
        "places": [one.place for one in copies],
        "buckets": [one.bucket for one in copies],
        "keys": [one.key for one in copies],
        "versions": [one.version for one in copies],
        "lock_modes": [one.lock_mode for one in copies],
        "untils": [one.retain_until for one in copies],
        "copied": [_of_copy(receipt, Kind.COPY, one).payload for one in copies],
        "extended": [_of_copy(receipt, Kind.EXTEND, one).payload for one in copies],
    }


def _deposited(receipt: Deposit, first: Copy, rule: str | None) -> JournalEntry:
    facts = {"sha256": receipt.sha256, "sha512": receipt.sha512, "size": receipt.size, "rule": rule, **_lock(first)}
    return JournalEntry(receipt.tenant, Kind.DEPOSIT, receipt.archive_id, facts)


def _of_copy(receipt: Deposit, kind: Kind, copy: Copy) -> JournalEntry:
    return JournalEntry(receipt.tenant, kind, receipt.archive_id, _lock(copy))


def _lock(copy: Copy) -> dict[str, str]:
    until = copy.retain_until.astimezone(UTC).isoformat()
    return {"place": copy.place, "version": copy.version, "mode": copy.lock_mode, "until": until}
