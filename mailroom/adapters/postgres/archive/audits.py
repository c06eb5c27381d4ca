"""The audit of the archive in SQL: the rows of the copies are read by their time of verification, and keep the damage."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, and_, exists, func, or_, select, text, tuple_, update

from mailroom.adapters.postgres.archive.journal import append_entries
from mailroom.adapters.postgres.archive.models import DepositCopyRow
from mailroom.adapters.postgres.archive.receipts import FIRST, SECOND
from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import DepositRow, table
from mailroom.domain.archive.damage import Damage
from mailroom.domain.archive.journal import JournalEntry, Kind
from mailroom.ports.archive_audit import AuditState, CopyToRead, Incident

_copies, _deposits = table(DepositCopyRow), table(DepositRow)
_copy, _deposit = _copies.c, _deposits.c

#: An incident that lasts is reported again after this time.
_AGAIN = timedelta(days=1)

_WANTED = select(
    *(_copy[name] for name in ("archive_id", "place", "bucket", "key", "version", "lock_mode", "retain_until")),
    *(_deposit[name] for name in ("sha256", "sha512", "size")),
    _copy.damage,
    _copy.verified_at,
).join_from(_copies, _deposits, _copy.archive_id == _deposit.archive_id)
_other = _copies.alias()
_IS_SINGLE = ~exists().where(_other.c.archive_id == _copy.archive_id, _other.c.place == SECOND)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class SqlArchiveAudit:
    """The port `ArchiveAudit` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def due(self, *, before: datetime, budget: int, limit: int) -> Sequence[CopyToRead]:
        """Return the copies that were verified longest ago; see the port."""
        is_due = and_(_copy.damage.is_(None), or_(_copy.verified_at.is_(None), _copy.verified_at < before))
        oldest = _WANTED.where(is_due).order_by(_copy.verified_at.nulls_first()).limit(limit)
        # Each place by itself, as the index has them.
        rows = [one for place in (FIRST, SECOND) for one in self._read(oldest.where(_copy.place == place))]
        return _within(budget, sorted(rows, key=lambda one: one.verified_at or _LONG_AGO)[:limit])

    def single(self, *, now: datetime, budget: int, limit: int) -> Sequence[CopyToRead]:
        """Return the first copies of deposits without a second one, those deposited first first."""
        alone = _WANTED.where(_copy.place == FIRST, _copy.damage.is_(None), _copy.retain_until > now, _IS_SINGLE)
        return _within(budget, self._read(alone.order_by(_deposit.deposited_at, _deposit.archive_id).limit(limit)))

    def suspect(self, copies: Sequence[CopyToRead]) -> None:
        """Have these copies read next."""
        with transaction(self._engine) as connection:
            _set(connection, copies, verified_at=None)

    def damaged(self, *, limit: int) -> Sequence[CopyToRead]:
        """Return some copies with damage, at random: each has its turn, however many there are."""
        return self._read(_WANTED.where(_copy.damage.is_not(None)).order_by(func.random()).limit(limit))

    def verified(self, copies: Sequence[CopyToRead], *, now: datetime) -> None:
        """Record that these copies are as recorded, unless they were replaced meanwhile."""
        with transaction(self._engine, "commit of verified") as connection:
            _set(connection, copies, verified_at=func.greatest(_copy.verified_at, now), **_WHOLE)

    def repaired(self, copy: CopyToRead, *, now: datetime) -> None:
        """Record that a copy was repaired; it may have another version since."""
        mine = and_(_copy.archive_id == copy.archive_id, _copy.place == copy.place)
        with transaction(self._engine, "commit of repaired") as connection:
            values = {"verified_at": func.greatest(_copy.verified_at, now), **_WHOLE}
            connection.execute(update(_copies).where(mine).values(**values))

    def lost(self, copy: CopyToRead, damage: Damage, *, now: datetime) -> None:
        """Record damage that cannot be repaired; each kind of it is one entry."""
        values = {"damage": damage.value, "damaged_at": func.coalesce(_copy.damaged_at, now)}
        mine = and_(
            _copy.archive_id == copy.archive_id,
            _copy.place == copy.place,
            _copy.version == copy.version,
            _copy.damage.is_distinct_from(damage.value),
        )
        with transaction(self._engine, "commit of damage") as connection:
            if connection.execute(update(_copies).where(mine).values(**values)).rowcount:
                append_entries(connection, [_entry(Kind.DAMAGE, copy, copy.version)])

    def to_alarm(self, *, now: datetime) -> Sequence[Incident]:
        """Return the incidents to report, the oldest first."""
        due = or_(func.bool_or(_copy.alarmed_at.is_(None)), func.max(_copy.alarmed_at) < now - _AGAIN)
        since = func.min(_copy.damaged_at)
        wanted = (
            select(
                _copy.archive_id,
                func.jsonb_object_agg(_copy.place, _copy.damage).label("damages"),
                since.label("since"),
            )
            .where(_copy.damage.is_not(None))
            .group_by(_copy.archive_id)
            .having(due)
            .order_by(since)
        )
        with transaction(self._engine) as connection:
            return [Incident(row.archive_id, dict(row.damages), row.since) for row in connection.execute(wanted)]

    def alarmed(self, incidents: Sequence[Incident], *, now: datetime) -> None:
        """Record that these incidents were reported."""
        ids = [one.archive_id for one in incidents]
        mine = and_(_copy.archive_id.in_(ids), _copy.damage.is_not(None))
        with transaction(self._engine) as connection:
            connection.execute(update(_copies).where(mine).values(alarmed_at=now))

    def state(self, *, now: datetime) -> AuditState:
        """Return how far the audit is."""
        alone = select(func.count()).select_from(_copies)
        alone = alone.where(_copy.place == FIRST, _copy.retain_until > now, _IS_SINGLE)
        with transaction(self._engine) as connection:
            single = connection.execute(alone).scalar_one()
            return AuditState(**connection.execute(_STATE).one()._mapping, single=single)

    def _read(self, wanted: Any) -> list[CopyToRead]:
        with transaction(self._engine) as connection:
            rows = connection.execute(wanted).all()
        known = frozenset(Damage.__members__.values())
        return [
            CopyToRead(**dict(row._mapping) | {"damage": Damage(row.damage) if row.damage in known else None})
            for row in rows
        ]


def oldest_verified(connection: Connection) -> datetime | None:
    """Return when the copy that was verified longest ago was."""
    oldest = [select(func.min(_copy.verified_at)).where(_copy.place == place) for place in (FIRST, SECOND)]
    return min(filter(None, (connection.execute(one).scalar_one() for one in oldest)), default=None)


def incident_count(connection: Connection) -> int:
    """Return how many documents have damage that is not repaired."""
    damaged = select(func.count(_copy.archive_id.distinct())).where(_copy.damage.is_not(None))
    return int(connection.execute(damaged).scalar_one())


_WHOLE: dict[str, Any] = {"damage": None, "damaged_at": None, "alarmed_at": None}

_STATE = text(
    "select count(*) as copies, coalesce(sum(d.size), 0)::bigint as bytes, min(coalesce(c.verified_at, d.deposited_at)) as oldest,"
    " count(distinct c.archive_id) filter (where c.damage is not null) as incidents"
    " from deposit_copy c join deposit d using (archive_id)"
)


def _within(budget: int, copies: Sequence[CopyToRead]) -> list[CopyToRead]:
    """Return the first copies, of about `budget` bytes; at least one."""
    found, size = list[CopyToRead](), 0
    for one in copies:
        if found and size + one.size > budget:
            break
        found.append(one)
        size += one.size
    return found


def _set(connection: Connection, copies: Sequence[CopyToRead], **values: Any) -> None:
    which = [
        (one.archive_id, one.place, one.version) for one in sorted(copies, key=lambda one: (one.archive_id, one.place))
    ]
    mine = tuple_(_copy.archive_id, _copy.place, _copy.version).in_(which)
    if which:
        connection.execute(update(_copies).where(mine).values(**values))


def _entry(kind: Kind, copy: CopyToRead, version: str) -> JournalEntry:
    tenant = copy.archive_id.partition("/")[0]
    return JournalEntry(tenant, kind, copy.archive_id, {"place": copy.place, "version": version})
