"""Counts of outbound mail, for metrics and alarms: one pass over the messages; events are counted when they are stored."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, case, func, insert, literal, or_, select, text
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import InboundEmailRow, ReconciliationRow, table
from mailroom.adapters.postgres.outbound.holds import held_count
from mailroom.adapters.postgres.outbound.models import (
    IS_WAITING,
    BreakerRow,
    EventTallyRow,
    MessageRow,
    OutboxRow,
    RateRow,
)
from mailroom.adapters.postgres.outbound.pauses import all_pauses
from mailroom.adapters.postgres.skipped_rows import skipped_now, sound
from mailroom.domain.inbound.received_email import UNSETTLED
from mailroom.domain.outbound.message import Status
from mailroom.domain.outbound.rate_slots import RateLimit
from mailroom.ports.holds import HeldCount, HoldReason
from mailroom.ports.monitoring import EventCount, MessageCount, OutboundCensus, Skipped
from mailroom.ports.reconciliations import Reconciliation

_email = table(InboundEmailRow).c
_message, _tally, _breaker = table(MessageRow).c, table(EventTallyRow).c, table(BreakerRow).c
_order, _rate = table(OutboxRow).c, table(RateRow).c
_proofs = table(ReconciliationRow)

_LATELY = timedelta(minutes=1)

#: Rates that were read longer ago belong to accounts that are not used any more.
_USED = timedelta(days=1)


class SqlMonitoring:
    """The port `Monitoring` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def census(self, *, now: datetime) -> OutboundCensus:
        """Return the counts and oldest times of outbound mail."""
        with transaction(self._engine) as connection:
            groups = connection.execute(_groups(now)).all()
            orders = connection.execute(_unpublished()).one()
            return OutboundCensus(
                sent=[MessageCount(row.provider, row.status, row.messages) for row in groups],
                events=[EventCount(**row._mapping) for row in connection.execute(_events())],
                oldest_unknown=min((row.unknown for row in groups if row.unknown), default=None),
                oldest_due=min((row.due for row in groups if row.due), default=None),
                orders=orders.orders,
                oldest_order=orders.oldest,
                oldest_published=connection.execute(_not_begun(now)).scalar_one(),
                lately={row.provider: row.mails for row in connection.execute(_sent_lately(now))},
                ceilings=[RateLimit(*row) for row in connection.execute(_ceilings(now))],
                breakers={row.stops: row.breakers for row in connection.execute(_open_breakers())},
                pauses=all_pauses(connection),
                held=held_count(connection),
                reconciled=last_proof(connection),
            )

    def waiting_since(self, *, now: datetime) -> Mapping[str, datetime]:
        """Return since when the oldest mail waits, by side (`inbound`, `outbound`)."""
        stopped = select(_breaker.id).where(
            _breaker.tenant == _message.tenant,
            _breaker.closed_at.is_(None),
            or_(_breaker.batch_id.is_(None), _breaker.batch_id == _message.batch_id),
        )
        due = text(IS_WAITING), _message.due_at <= now, ~stopped.exists()
        oldest = {
            "inbound": select(func.min(_email.received_at)).where(
                _email.state.in_(UNSETTLED), sound(_email.received_at)
            ),
            "outbound": select(func.min(_waits_since())).where(*due),
        }
        with transaction(self._engine) as connection:
            since_by_side = {side: connection.execute(wanted).scalar_one() for side, wanted in oldest.items()}
        return {side: since for side, since in since_by_side.items() if since is not None}

    def skipped(self) -> Sequence[Skipped]:
        """Return the rows that are skipped at present."""
        return skipped_now(self._engine)

    def held(self) -> Mapping[HoldReason, HeldCount]:
        """Return how many batches and messages are held, by reason."""
        with transaction(self._engine) as connection:
            return held_count(connection)

    def leased(self, runs: Mapping[str, str], *, since: datetime) -> set[str]:
        """Return those of these runs whose e-mail had a heartbeat since then."""
        ids = [UUID(run_id) for run_id in runs]
        theirs = or_(_email.run_id.in_(ids), _email.key.in_(set(runs.values())))
        wanted = select(_email.run_id, _email.key).where(theirs, _email.beat_at >= since)
        with transaction(self._engine) as connection:
            alive = {(str(row.run_id), row.key) for row in connection.execute(wanted)}
        begun, keys = {run_id for run_id, _ in alive}, {key for _, key in alive}
        return {run_id for run_id, key in runs.items() if run_id in begun or key in keys}


class SqlReconciliations:
    """The port `Reconciliations` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def note(self, proof: Reconciliation) -> None:
        """Store a reconciliation."""
        values = {"differences": dict(proof.differences), "counts": dict(proof.counts)}
        row = insert(_proofs).values(begun_at=proof.begun_at, ended_at=proof.ended_at, **values)
        with transaction(self._engine) as connection:
            connection.execute(row)

    def last(self) -> Reconciliation | None:
        """Return the latest reconciliation, or None."""
        with transaction(self._engine) as connection:
            return last_proof(connection)


def _groups(now: datetime) -> Any:
    unknown = func.min(_message.handed_at).filter(_message.status == Status.UNKNOWN, sound(_message.handed_at))
    due = func.min(_waits_since()).filter(text(IS_WAITING), _message.due_at <= now)
    keys = _message.provider, _message.status
    counted = func.count().label("messages"), unknown.label("unknown"), due.label("due")
    return select(*keys, *counted).group_by(*keys).order_by(*keys)


def _waits_since() -> ColumnElement[datetime]:
    """Return since when a due message waits; an impossible time is left out, because it would hide all others."""
    return case((sound(_message.due_at), _message.due_at), (sound(_message.created_at), _message.created_at))


def _events() -> Any:
    return select(_tally.provider, _tally.kind, _tally.events).order_by(_tally.provider, _tally.kind)


def _sent_lately(now: datetime) -> Any:
    lately = _message.handed_at > now - _LATELY, _message.handed_at <= now, _message.provider.is_not(None)
    return select(_message.provider, func.count().label("mails")).where(*lately).group_by(_message.provider)


def _unpublished() -> Any:
    counted = func.count().label("orders"), func.min(_order.written_at).filter(sound(_order.written_at)).label("oldest")
    return select(*counted).where(_order.published_at.is_(None))


def _not_begun(now: datetime) -> Any:
    """Return since when the oldest order is published and due, of those that no run has begun and that have due messages."""
    since = func.greatest(_order.published_at, _order.due_at)
    left = select(_message.id).where(_message.batch_id == _order.batch_id, text(IS_WAITING), _message.due_at <= now)
    waits = _order.begun_at.is_(None), _order.published_at.is_not(None), _order.due_at <= now, left.exists()
    return select(func.min(since)).where(*waits)


def _ceilings(now: datetime) -> Any:
    held = select(_rate.provider, _rate.identity, _rate.per_second).where(_rate.told_at > now - _USED)
    return held.order_by(_rate.identity)


def _open_breakers() -> Any:
    stops = case((_breaker.batch_id.is_(None), literal("tenant")), else_=literal("batch")).label("stops")
    return select(stops, func.count().label("breakers")).where(_breaker.closed_at.is_(None)).group_by(stops)


def last_proof(connection: Connection) -> Reconciliation | None:
    """Return the latest reconciliation, or None."""
    row: Row[Any] | None = connection.execute(select(_proofs).order_by(_proofs.c.id.desc()).limit(1)).first()
    if row is None or not isinstance(row.differences, dict) or not isinstance(row.counts, dict):
        return None
    return Reconciliation(begun_at=row.begun_at, ended_at=row.ended_at, differences=row.differences, counts=row.counts)
