"""Holding and resuming messages, in SQL. The status `held` alone stops a message: only waiting messages are claimed."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, and_, case, func, literal, select, text, true
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import table
from mailroom.adapters.postgres.outbound.models import IS_WAITING, BatchRow, MessageRow
from mailroom.adapters.postgres.outbound.rows import is_held, member_of, move, order, owned
from mailroom.adapters.postgres.skipped_rows import stepping_over
from mailroom.domain.outbound.message import Status
from mailroom.ports.holds import HeldBatch, HeldCount, HoldReason
from mailroom.ports.monitoring import Loop

_batches, _messages = table(BatchRow), table(MessageRow)
_batch, _message = _batches.c, _messages.c


class SqlHolds:
    """The port `Holds` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def hold(self, batch_ids: Collection[str], *, reason: HoldReason, now: datetime) -> int:
        """Hold all waiting messages of these batches; see the port."""
        ids = [UUID(batch_id) for batch_id in batch_ids]
        with transaction(self._engine, "commit of hold") as connection:
            return hold(connection, and_(_message.batch_id.in_(ids), text(IS_WAITING)), reason, now)

    def resume(self, tenant: str | None, batch_id: str, *, by: str, now: datetime) -> int | None:
        """Resume the held messages of a batch; see the port."""
        with transaction(self._engine, "commit of resume") as connection:
            batch = connection.execute(select(_batch.id).where(owned(_batches, tenant, batch_id))).first()
            if batch is None:
                return None
            held = (_message.batch_id == batch.id) & is_held()
            # Before any message is locked: the relay too locks orders before messages.
            goes_at = func.greatest(_message.due_at, now)
            for due_at in connection.execute(select(goes_at).where(held).distinct()).scalars().all():
                order(connection, batch.id, due_at)
            status = case((_message.due_at <= now, literal(Status.QUEUED.value)), else_=literal(Status.SCHEDULED.value))
            values: dict[str, Any] = {"status": status, "reason": None, "handed_at": None}
            return move(connection, held, now=now, kind="resumed", facts={"by": by}, **values)

    def held(self, tenant: str | None, *, reason: HoldReason | None = None, limit: int) -> list[HeldBatch]:
        """Return the batches that have held messages."""
        due_at = func.min(_message.due_at).label("due_at")
        counted = func.count().label("messages"), func.min(_message.changed_at).label("held_at"), due_at
        keys = _batch.id, _batch.tenant, _message.reason, _batch.expires_at, _batch.created_at
        wanted = (
            select(*keys, *counted)
            .join_from(_messages, _batches, _batch.id == _message.batch_id)
            .where(is_held(), true() if tenant is None else _message.tenant == tenant)
            .where(true() if reason is None else _message.reason == reason)
            .group_by(*keys)
            .order_by(due_at, _batch.id)
            .limit(limit)
        )
        with stepping_over(self._engine, Loop.LISTS, "batch") as usable, transaction(self._engine) as connection:
            return usable(connection.execute(wanted), _held_batch)

    def held_count(self) -> Mapping[HoldReason, HeldCount]:
        """Return how many batches and messages are held, by reason."""
        with transaction(self._engine) as connection:
            return held_count(connection)


def hold(connection: Connection, which: ColumnElement[bool], reason: HoldReason, now: datetime) -> int:
    """Hold these messages and return how many there were. They are locked by id, in the same order as by events."""
    locked = select(_message.id).where(which).order_by(_message.id).with_for_update().cte("locked")
    if not connection.execute(select(func.count()).select_from(locked)).scalar_one():
        return 0
    return move(connection, which, now=now, status=Status.HELD, reason=reason.value)


def held_count(connection: Connection) -> dict[HoldReason, HeldCount]:
    """Return how many batches and messages are held, by reason."""
    batches, messages = func.count(_message.batch_id.distinct()), func.count()
    rows = connection.execute(select(_message.reason, batches, messages).where(is_held()).group_by(_message.reason))
    return {
        HoldReason(reason): HeldCount(batches, messages)
        for reason, batches, messages in rows
        if reason in set(HoldReason)
    }


def _held_batch(row: Row[Any]) -> HeldBatch:
    return HeldBatch(
        id=str(row.id),
        tenant=row.tenant,
        reason=member_of(HoldReason, row.reason),
        messages=row.messages,
        held_at=row.held_at,
        due_at=row.due_at,
        expires_at=row.expires_at,
        created_at=row.created_at,
    )
