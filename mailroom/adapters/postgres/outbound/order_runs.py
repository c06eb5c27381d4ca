"""The flow run of each order, in SQL, and the batches that wait for their runs."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Engine, Select, and_, exists, func, or_, select, text, update

from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import table
from mailroom.adapters.postgres.outbound.models import IS_WAITING, BatchRow, BreakerRow, MessageRow, OutboxRow
from mailroom.adapters.postgres.skipped_rows import met_lately
from mailroom.outbound.run_outcomes import OrderRun
from mailroom.ports.monitoring import Loop

_batches, _messages, _orders, _breakers = table(BatchRow), table(MessageRow), table(OutboxRow), table(BreakerRow)
_batch, _message, _order, _breaker = _batches.c, _messages.c, _orders.c, _breakers.c
_later = _orders.alias("later").c


class SqlOrderRuns:
    """The port `OrderRuns` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run_of(self, batch_id: str, due_at: datetime) -> str | None:
        """Return the run of the latest order for this time, or None."""
        run_id = self._latest(batch_id, due_at, _order.run_id)
        return str(run_id) if run_id else None

    def written_at(self, batch_id: str, due_at: datetime) -> datetime | None:
        """Return when the latest order for this time was written, or None."""
        written_at: datetime | None = self._latest(batch_id, due_at, _order.written_at)
        return written_at

    def record_run(self, batch_id: str, due_at: datetime, *, run_id: str) -> None:
        """Record the run of these orders."""
        try:
            mine = _order.batch_id == UUID(batch_id), _order.due_at == due_at
        except ValueError:
            return
        with transaction(self._engine, "commit of carried") as connection:
            connection.execute(update(_orders).where(*mine).values(run_id=UUID(run_id)))

    def _latest(self, batch_id: str, due_at: datetime, column: ColumnElement[Any]) -> Any:
        try:
            mine = _order.batch_id == UUID(batch_id), _order.due_at == due_at
        except ValueError:
            return None
        with transaction(self._engine) as connection:
            latest = select(column).where(*mine).order_by(_order.id.desc()).limit(1)
            return connection.execute(latest).scalar_one_or_none()

    def scheduled(self, *, after: int, limit: int) -> list[OrderRun]:
        """Return batches that wait for a run to begin, or for a breaker to close; see the port."""
        stopped = exists().where(_breaker.closed_at.is_(None), _order.run_id == func.any(_breaker.runs))
        open_ = or_(_order.begun_at.is_(None), stopped)
        mine = or_(_is_latest(), _sends_waiting())
        waits = _order.run_id.is_not(None), _order.id > after, open_, mine, _has_waiting(_order.batch_id)
        wanted = select(_order.batch_id, _order.run_id, _order.id).where(*waits).order_by(_order.id).limit(limit)
        with transaction(self._engine) as connection:
            return [OrderRun(str(batch), str(run), number) for batch, run, number in connection.execute(wanted)]

    def overdue(self, *, before: datetime, limit: int) -> list[OrderRun]:
        """Return the batches that `remind` would order again, each with the runs meant to send its waiting messages."""
        late = overdue_since(before).add_columns(_batch.created_at).limit(limit).subquery()
        mine = and_(_order.batch_id == late.c.id, or_(_is_latest(), _sends_waiting()))
        wanted = select(late.c.id, _order.run_id).select_from(late.outerjoin(_orders, mine))
        with transaction(self._engine) as connection:
            rows = connection.execute(wanted.order_by(late.c.created_at, late.c.id, _order.id)).all()
        return list(dict.fromkeys(OrderRun(str(batch), str(run) if run else None) for batch, run in rows))


def overdue_since(before: datetime) -> Select[Any]:
    """Select batches that are overdue since `before`, that no run works on, and that no breaker stops, oldest first."""
    due = exists().where(_message.batch_id == _batch.id, text(IS_WAITING), _message.due_at < before)
    ordered = exists().where(_order.batch_id == _batch.id, _order.due_at >= before)
    silent = or_(_batch.worked_at.is_(None), _batch.worked_at < before)
    of_it = or_(_breaker.batch_id.is_(None), _breaker.batch_id == _batch.id)
    stopped = exists().where(_breaker.tenant == _batch.tenant, of_it, _breaker.closed_at.is_(None))
    # A batch that the relay cannot read gets no further orders: its first one waits for a person.
    unreadable = met_lately(Loop.RELAY, "batch", _batch.id)
    return select(_batch.id).where(due, silent, ~ordered, ~stopped, ~unreadable).order_by(_batch.created_at)


def _is_latest() -> ColumnElement[bool]:
    return ~exists().where(_later.batch_id == _order.batch_id, _later.id > _order.id)


def _sends_waiting() -> ColumnElement[bool]:
    """Return the condition that this order sends a waiting message: one that is due by then and that no later order covers.

    A batch has several such orders when a part of it was deferred and the rest was ordered again.
    """
    reached = select(func.max(_later.due_at)).where(_later.batch_id == _order.batch_id, _later.id > _order.id)
    until = reached.correlate(_orders).scalar_subquery()
    mine = _message.batch_id == _order.batch_id, text(IS_WAITING), _message.due_at <= _order.due_at
    return exists().where(*mine, or_(until.is_(None), _message.due_at > until))


def _has_waiting(batch_id: ColumnElement[Any]) -> ColumnElement[bool]:
    return exists().where(_message.batch_id == batch_id, text(IS_WAITING))
