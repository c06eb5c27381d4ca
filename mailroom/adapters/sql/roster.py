"""Which workers live, in SQL: one row each, written with every beat."""

from datetime import datetime, timedelta

from sqlalchemy import Engine, delete
from sqlalchemy.dialects.postgresql import insert

from mailroom.adapters.sql.engine import transaction
from mailroom.adapters.sql.models import WorkerRow, table

_workers = table(WorkerRow)

#: A worker that was killed leaves its row; the others clear it away after this time.
_FORGET_AFTER = timedelta(hours=1)


class SqlRoster:
    """The port `Roster` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def sign(self, worker: str, *, now: datetime, in_hand: int, paused_by: str | None) -> None:
        """Note that `worker` lives."""
        told = {"beat_at": now, "in_hand": in_hand, "paused_by": paused_by}
        row = insert(_workers).values(name=worker, started_at=now, **told)
        with transaction(self._engine) as connection:
            connection.execute(row.on_conflict_do_update(index_elements=["name"], set_=told))
            connection.execute(delete(_workers).where(_workers.c.beat_at < now - _FORGET_AFTER))

    def leave(self, worker: str) -> None:
        """Note that `worker` has stopped."""
        with transaction(self._engine) as connection:
            connection.execute(delete(_workers).where(_workers.c.name == worker))
