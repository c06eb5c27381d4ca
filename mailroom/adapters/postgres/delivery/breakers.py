"""The circuit breaker in SQL: opened by bounce and complaint rates, open until a person closes it.

It is checked before each round of sending, so the usual check is cheap: two index look-ups for open breakers, and a count
of bounces and complaints. Sent messages are counted only when these are enough to open a breaker.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Connection, Engine, and_, func, or_, select, true, update
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.delivery.same_refusals import count, is_counting
from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import table
from mailroom.adapters.postgres.outbound.models import BatchRow, BreakerRow, MessageRow
from mailroom.adapters.postgres.outbound.rows import member_of, owned
from mailroom.adapters.postgres.skipped_rows import stepping_over
from mailroom.domain.delivery.events import Kind
from mailroom.domain.delivery.reputation import (
    OF_BATCH,
    OF_TENANT,
    TENANT_WITHIN,
    ReputationCounts,
    Thresholds,
    Trip,
    judge,
    may_open,
)
from mailroom.domain.delivery.same_refusals import SentTo
from mailroom.domain.outbound.message import TROUBLE, Status
from mailroom.ports.breakers import Broken, CountedRefusals
from mailroom.ports.monitoring import Loop

_breakers, _batches = table(BreakerRow), table(BatchRow)
_breaker, _batch, _message = _breakers.c, _batches.c, table(MessageRow).c

#: Written as in the index `ix_message_trouble`.
_TROUBLE = _message.status.in_(TROUBLE)
#: Soft bounces are no sign of a bad list.
_BOUNCED = (_message.status == Status.BOUNCED) & (_message.reason == Kind.BOUNCED_HARD)
_COMPLAINED = _message.status == Status.COMPLAINED


class SqlBreakers:
    """The port `Breakers` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def check(self, batch_id: str, *, now: datetime) -> Broken | None:
        """Return the open breaker that stops this batch, opened now if the rates of the batch or its tenant exceed a threshold."""
        with transaction(self._engine) as connection:
            tenant = _tenant(connection, batch_id)
            rows = connection.execute(_last(tenant, UUID(batch_id))).all()
            broken = next((row for row in rows if row.closed_at is None), None)
            if broken is not None:
                return _broken(broken)
            closed = {row.batch_id: row.closed_at for row in rows}
            of_batch = _message.batch_id == UUID(batch_id)
            last = max(filter(None, closed.values()), default=None)
            if last is not None:
                of_batch &= _message.handed_at > last
            if judgement := _judge(connection, of_batch, OF_BATCH):
                return _open(connection, tenant, UUID(batch_id), judgement, now)
            since = max(now - TENANT_WITHIN, closed.get(None) or now - TENANT_WITHIN)
            of_tenant = and_(_message.tenant == tenant, _message.handed_at > since)
            if judgement := _judge(connection, of_tenant, OF_TENANT):
                return _open(connection, tenant, None, judgement, now)
        return None

    def count_refusals(self, batch_id: str, outcomes: Sequence[SentTo], *, now: datetime) -> CountedRefusals:
        """Count the same refusal in a row; a full row opens a breaker of this batch."""
        uuid = UUID(batch_id)
        with transaction(self._engine, "commit of refusals") as connection:
            if not any(one.refusal for one in outcomes) and not is_counting(connection, uuid):
                return CountedRefusals("", None, False)
            tenant = _tenant(connection, batch_id)
            opened = [row for row in connection.execute(_last(tenant, uuid)) if row.closed_at is None and row.answer]
            if opened:
                return CountedRefusals(opened[0].answer, 0, True)
            row, full_at = count(connection, uuid, outcomes)
            if full_at is not None:
                judgement = Trip.SAME_REFUSAL, ReputationCounts(sent=row.recipients)
                _open(connection, tenant, uuid, judgement, now, answer=row.answer)
        return CountedRefusals(row.answer, full_at, bool(row.answer))

    def hold(self, breaker_id: str, run_id: str) -> None:
        """Record that this run waits for the breaker to be closed."""
        run = UUID(run_id)
        new = ~_breaker.runs.contains([run])
        values = {"runs": func.array_append(_breaker.runs, run)}
        with transaction(self._engine) as connection:
            connection.execute(update(_breakers).where(_breaker.id == UUID(breaker_id), new).values(values))

    def close(self, breaker_id: str, *, by: str, now: datetime) -> Broken | None:
        """Close the breaker and return it with the runs that waited, or None when there is none."""
        one = owned(_breakers, None, breaker_id)
        closing = update(_breakers).where(one, _breaker.closed_at.is_(None)).values(closed_at=now, closed_by=by)
        with transaction(self._engine) as connection:
            connection.execute(closing)
            row = connection.execute(select(_breakers).where(one)).first()
        return _broken(row) if row else None

    def all(self, tenant: str | None, *, only_open: bool, limit: int) -> list[Broken]:
        """Return breakers, most recently opened first."""
        mine = true() if tenant is None else _breaker.tenant == tenant
        wanted = select(_breakers).where(mine, _breaker.closed_at.is_(None) if only_open else true())
        newest_first = _breaker.opened_at.desc(), _breaker.id
        with stepping_over(self._engine, Loop.LISTS, "breaker") as usable, transaction(self._engine) as connection:
            return usable(connection.execute(wanted.order_by(*newest_first).limit(limit)), _broken)

    def of_batch(self, batch_id: str) -> Broken | None:
        """Return the open breaker that stops this batch, or None."""
        with transaction(self._engine) as connection:
            rows = connection.execute(_last(_tenant(connection, batch_id), UUID(batch_id))).all()
        return next((_broken(row) for row in rows if row.closed_at is None), None)


def _tenant(connection: Connection, batch_id: str) -> str:
    tenant = connection.execute(select(_batch.tenant).where(owned(_batches, None, batch_id))).scalar_one_or_none()
    if tenant is None:
        raise LookupError("no such batch")
    return str(tenant)


def _last(tenant: str, batch_id: UUID) -> Any:
    """Return the latest breaker of the batch and the latest of its tenant."""
    mine = and_(_breaker.tenant == tenant, or_(_breaker.batch_id == batch_id, _breaker.batch_id.is_(None)))
    latest = select(_breakers).where(mine).ext(distinct_on(_breaker.batch_id))
    return latest.order_by(_breaker.batch_id, _breaker.opened_at.desc())


def _judge(
    connection: Connection, which: ColumnElement[bool], thresholds: Thresholds
) -> tuple[Trip, ReputationCounts] | None:
    troubles = select(func.count().filter(_BOUNCED), func.count().filter(_COMPLAINED)).where(which, _TROUBLE)
    bounced, complained = connection.execute(troubles).one()
    if not may_open(bounced, complained, thresholds):
        return None
    submitted = select(func.count()).where(which, _message.handed_at.is_not(None))
    tally = ReputationCounts(sent=connection.execute(submitted).scalar_one(), bounced=bounced, complained=complained)
    trip = judge(tally, thresholds)
    return (trip, tally) if trip else None


def _open(
    connection: Connection,
    tenant: str,
    batch_id: UUID | None,
    judgement: tuple[Trip, ReputationCounts],
    now: datetime,
    *,
    answer: str | None = None,
) -> Broken:
    """Open a breaker and return it; if another worker opened one at the same time, return that one."""
    trip, tally = judgement
    counts = {"sent": tally.sent, "bounced": tally.bounced, "complained": tally.complained}
    row = insert(_breakers).values(
        id=uuid4(), tenant=tenant, batch_id=batch_id, trip=trip, opened_at=now, runs=[], answer=answer, **counts
    )
    connection.execute(row.on_conflict_do_nothing())
    same = _breaker.batch_id.is_not_distinct_from(batch_id)
    current = select(_breakers).where(_breaker.tenant == tenant, same, _breaker.closed_at.is_(None))
    return _broken(connection.execute(current).one())


def _broken(row: Row[Any]) -> Broken:
    return Broken(
        id=str(row.id),
        tenant=row.tenant,
        batch_id=str(row.batch_id) if row.batch_id else None,
        trip=member_of(Trip, row.trip),
        tally=ReputationCounts(sent=row.sent, bounced=row.bounced, complained=row.complained),
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        closed_by=row.closed_by,
        runs=tuple(str(run) for run in row.runs),
        answer=row.answer,
    )
