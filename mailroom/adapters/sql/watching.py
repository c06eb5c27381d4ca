"""Counting outbound mail, for the metrics and the alarms: one pass over the messages, one along an index of events."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, case, func, insert, literal, select, text
from sqlalchemy.engine import Row

from mailroom.adapters.sql.engine import transaction
from mailroom.adapters.sql.models import ReconciliationRow, table
from mailroom.adapters.sql.outbound_models import IS_WAITING, ActivityRow, BreakerRow, MessageRow
from mailroom.domain.outbound import Status
from mailroom.watching import OutboundCensus, Reconciliation, Sent, Told

_message, _activity, _breaker = table(MessageRow).c, table(ActivityRow).c, table(BreakerRow).c
_proofs = table(ReconciliationRow)

_LATELY = timedelta(minutes=1)


class SqlWatch:
    """The port `Watch` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def census(self, *, now: datetime) -> OutboundCensus:
        """Return what there is."""
        with transaction(self._engine) as connection:
            groups = connection.execute(_groups(now)).all()
            return OutboundCensus(
                sent=[Sent(row.provider, Status(row.status), row.messages) for row in groups],
                told=[Told(**row._mapping) for row in connection.execute(_told())],
                oldest_unknown=min((row.unknown for row in groups if row.unknown), default=None),
                oldest_due=min((row.due for row in groups if row.due), default=None),
                lately={row.provider: row.mails for row in connection.execute(_handed_over(now))},
                breakers={row.stops: row.breakers for row in connection.execute(_open_breakers())},
                reconciled=_last(connection),
            )


class SqlReconciliations:
    """The port `Reconciliations` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def note(self, proof: Reconciliation) -> None:
        """Keep it."""
        told = {"differences": dict(proof.differences), "counts": dict(proof.counts)}
        row = insert(_proofs).values(begun_at=proof.begun_at, ended_at=proof.ended_at, **told)
        with transaction(self._engine) as connection:
            connection.execute(row)

    def last(self) -> Reconciliation | None:
        """Return the latest, or None."""
        with transaction(self._engine) as connection:
            return _last(connection)


def _groups(now: datetime) -> Any:
    unknown = func.min(_message.handed_at).filter(_message.status == Status.UNKNOWN)
    due = func.min(_message.due_at).filter(text(IS_WAITING), _message.due_at <= now)
    keys = _message.provider, _message.status
    counted = func.count().label("messages"), unknown.label("unknown"), due.label("due")
    return select(*keys, *counted).group_by(*keys).order_by(*keys)


def _told() -> Any:
    keys = _activity.provider, _activity.kind
    return (
        select(*keys, func.count().label("events"))
        .where(_activity.event_id.is_not(None))
        .group_by(*keys)
        .order_by(*keys)
    )


def _handed_over(now: datetime) -> Any:
    lately = _message.handed_at > now - _LATELY, _message.handed_at <= now, _message.provider.is_not(None)
    return select(_message.provider, func.count().label("mails")).where(*lately).group_by(_message.provider)


def _open_breakers() -> Any:
    stops = case((_breaker.batch_id.is_(None), literal("tenant")), else_=literal("batch")).label("stops")
    return select(stops, func.count().label("breakers")).where(_breaker.closed_at.is_(None)).group_by(stops)


def _last(connection: Connection) -> Reconciliation | None:
    row: Row[Any] | None = connection.execute(select(_proofs).order_by(_proofs.c.id.desc()).limit(1)).first()
    if row is None:
        return None
    return Reconciliation(begun_at=row.begun_at, ended_at=row.ended_at, differences=row.differences, counts=row.counts)
