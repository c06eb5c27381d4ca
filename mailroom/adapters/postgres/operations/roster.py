"""The running workers, in SQL: one row each, written with every heartbeat."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import InboundEmailRow, WorkerRow, table
from mailroom.domain.inbound.received_email import FINAL

_workers, _emails = table(WorkerRow), table(InboundEmailRow)

#: The row of a killed worker is deleted by the others after this time.
_FORGET_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """One worker by its last heartbeat, with the message ids of the e-mails that it leases."""

    name: str
    started_at: datetime
    beat_at: datetime
    paused_by: str | None
    held_by: str | None
    holds: tuple[str, ...]


class SqlRoster:
    """The port `Roster` on PostgreSQL. Past the gate: a worker that is paused by an unfit schema must be visible too."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def heartbeat(
        self, worker: str, *, now: datetime, in_hand: int, paused_by: str | None, held_by: str | None = None
    ) -> None:
        """Record a heartbeat of `worker`."""
        values = {"beat_at": now, "in_hand": in_hand, "paused_by": paused_by, "held_by": held_by}
        row = insert(_workers).values(name=worker, started_at=now, **values)
        with transaction(self._engine, gated=False) as connection:
            connection.execute(row.on_conflict_do_update(index_elements=["name"], set_=values))
            connection.execute(delete(_workers).where(_workers.c.beat_at < now - _FORGET_AFTER))

    def leave(self, worker: str) -> None:
        """Record that `worker` has stopped."""
        with transaction(self._engine, gated=False) as connection:
            connection.execute(delete(_workers).where(_workers.c.name == worker))

    def number(self, worker: str, *, since: datetime) -> tuple[int, int]:
        """Return the index of `worker` among those with a heartbeat after `since`, longest running first, and their number.

        A worker without a heartbeat yet counts as the last.
        """
        living = select(_workers.c.name).where(_workers.c.beat_at > since)
        with transaction(self._engine, gated=False) as connection:
            names = list(connection.execute(living.order_by(_workers.c.started_at, _workers.c.name)).scalars())
        if worker not in names:
            names.append(worker)
        return names.index(worker), len(names)

    def live_workers(self) -> list[LiveWorker]:
        """Return every worker that has not stopped, longest running first."""
        holds = func.array_agg(_emails.c.message_id).filter(_emails.c.message_id.is_not(None))
        values = _workers.c.name, _workers.c.started_at, _workers.c.beat_at, _workers.c.paused_by, _workers.c.held_by
        held_now = _emails.c.beat_at.is_not(None) & _emails.c.state.not_in(FINAL)
        in_hand = (_emails.c.worker == _workers.c.name) & held_now
        query = select(*values, holds).outerjoin_from(_workers, _emails, in_hand).group_by(*values)
        with transaction(self._engine, gated=False) as connection:
            rows = connection.execute(query.order_by(_workers.c.started_at)).all()
        return [
            LiveWorker(row.name, row.started_at, row.beat_at, row.paused_by, row.held_by, tuple(sorted(row[-1] or ())))
            for row in rows
        ]
