"""Facts of the status page, in SQL: each query reads an index or few rows, and is ended by the server after a time."""

from datetime import datetime, timedelta
from typing import Any, cast

import psycopg
from sqlalchemy import Connection, Engine, case, func, select, text

from mailroom.adapters.postgres.archive.audits import incident_count, oldest_verified
from mailroom.adapters.postgres.archive.pieces import piece_incidents
from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.inbound.replay_models import ReplayMailRow
from mailroom.adapters.postgres.models import InboundEmailRow, WorkerRow, table
from mailroom.adapters.postgres.operations.monitoring import SqlMonitoring, last_proof
from mailroom.adapters.postgres.outbound.holds import held_count
from mailroom.adapters.postgres.outbound.models import IS_WAITING, BreakerRow, MessageRow
from mailroom.adapters.postgres.outbound.pauses import all_pauses
from mailroom.adapters.postgres.roles import powers
from mailroom.adapters.postgres.skipped_rows import sound
from mailroom.domain.inbound.received_email import REPLAYABLE, State
from mailroom.domain.inbound.replaying import ReplayState
from mailroom.ports.inbox_reader import WorkerLine
from mailroom.ports.status import InstallationFacts

_email, _message = table(InboundEmailRow).c, table(MessageRow).c
_worker, _breaker, _mail = table(WorkerRow).c, table(BreakerRow).c, table(ReplayMailRow).c

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_REVISION = text("select min(version_num) from alembic_version")


class SqlStatusFacts:
    """The port `StatusFacts` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def facts(self, *, now: datetime, within: timedelta) -> InstallationFacts:
        """Return the facts; see the port."""
        watch = SqlMonitoring(self._engine)
        since = watch.waiting_since(now=now)
        with transaction(self._engine) as connection:
            limit = int(within.total_seconds() * 1000)
            connection.execute(text(f"set local statement_timeout = {limit}"))
            open_states = [state for state in ReplayState if state.is_open]
            left = select(func.count()).select_from(table(ReplayMailRow)).where(_mail.state.in_(open_states))
            open_breakers = select(func.count()).select_from(table(BreakerRow)).where(_breaker.closed_at.is_(None))
            return InstallationFacts(
                **_received(connection, now),
                **_waiting(connection),
                oldest_unfiled=since.get("inbound"),
                oldest_due=since.get("outbound"),
                replays_left=connection.execute(left).scalar_one(),
                held=held_count(connection),
                pauses=all_pauses(connection),
                breakers=connection.execute(open_breakers).scalar_one(),
                workers=_workers(connection),
                skipped={one.loop: one.rows for one in watch.skipped()},
                proof=last_proof(connection),
                oldest_verified=oldest_verified(connection),
                incidents=incident_count(connection) + piece_incidents(connection),
                schema=connection.execute(_REVISION).scalar_one(),
                may_change_journals=bool(
                    powers(cast("psycopg.Connection[Any]", connection.connection.driver_connection))
                ),
            )


def _received(connection: Connection, now: datetime) -> dict[str, Any]:
    in_hour = _email.received_at > now - _HOUR
    took = func.date_part("epoch", _email.closed_at - _email.received_at)
    took_s = case((sound(_email.closed_at) & (_email.state == State.FILED) & in_hour, took))
    counted = select(
        func.count().filter(in_hour).label("last_hour"),
        func.count().label("last_day"),
        func.percentile_disc(0.95).within_group(took_s).label("took_s"),
    ).where(_email.received_at > now - _DAY, sound(_email.received_at))
    row = connection.execute(counted).one()
    lately = func.count().filter(_email.received_at > now - _DAY)
    there = select(func.count().label("all"), lately.label("lately")).where(_email.state.in_(REPLAYABLE))
    kept = connection.execute(there).one()
    return {
        "last_hour": row.last_hour,
        "last_day": row.last_day,
        "filing_time": None if row.took_s is None else timedelta(seconds=max(row.took_s, 0)),
        "quarantined": kept.all,
        "quarantined_lately": kept.lately,
    }


def _waiting(connection: Connection) -> dict[str, Any]:
    counted = func.count().label("messages"), func.count(_message.batch_id.distinct()).label("batches")
    row = connection.execute(select(*counted).where(text(IS_WAITING))).one()
    return {"waiting_messages": row.messages, "waiting_batches": row.batches}


def _workers(connection: Connection) -> list[WorkerLine]:
    columns = _worker.name, _worker.beat_at, _worker.in_hand, _worker.paused_by, _worker.held_by
    return [WorkerLine(**row._mapping) for row in connection.execute(select(*columns).order_by(_worker.name))]
