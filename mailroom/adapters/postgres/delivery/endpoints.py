"""Webhook endpoints of tenants in SQL. The trigger `activity_told` (migration 0007) writes the events to be sent."""

from dataclasses import asdict
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, delete, func, or_, select, text, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.delivery.models import AttemptRow, EndpointRow, WebhookEventRow
from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import TenantRow, table
from mailroom.adapters.postgres.outbound.rows import owned, table_of, texts_of
from mailroom.adapters.postgres.skipped_rows import note_skipped, stepping_over, why
from mailroom.domain.delivery.tenant_webhooks import most_after
from mailroom.ports.endpoints import Attempt, Endpoint, WebhookDelivery, WebhookEvent
from mailroom.ports.monitoring import Loop

_endpoints, _events, _attempts, _tenants = (
    table(EndpointRow),
    table(WebhookEventRow),
    table(AttemptRow),
    table(TenantRow),
)
_endpoint, _event, _attempt = _endpoints.c, _events.c, _attempts.c

#: Tries are counted up to here: a larger number could overflow its column.
_MOST_TRIES = 1_000_000

_CLAIM = text("""
    update endpoint set taken_until = :until where id = (
        select id from endpoint
        where disabled_at is null and next_at <= :now and (taken_until is null or taken_until <= :now)
            and exists (select from endpoint_news where endpoint_id = endpoint.id and told_at is null)
        order by next_at, id limit 1 for update skip locked
    ) returning *
""")
_WAITING_EVENTS = text("""
    select activity.id as sequence, activity.kind, activity.at, activity.actor, activity.facts, message.id as message_id,
        message.batch_id, message.reference, message.recipient, message.metadata, message.status, message.reason,
        coalesce(batch."from"->>'address', '') as sender
    from endpoint_news join activity on activity.id = endpoint_news.activity_id
        join message on message.id = activity.message_id join batch on batch.id = message.batch_id
    where endpoint_news.endpoint_id = :endpoint and told_at is null order by activity.id limit :most
""")
_REPLAY = text("""
    insert into endpoint_news (endpoint_id, activity_id)
    select endpoint.id, activity.id
    from endpoint join message on message.tenant = endpoint.tenant join activity on activity.message_id = message.id
    where endpoint.id = :endpoint and activity.kind = any(endpoint.kinds) and activity.at >= :since and activity.at < :until
    order by activity.id
    on conflict (endpoint_id, activity_id) do update set told_at = null
""")


class SqlEndpoints:
    """The port `Endpoints` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, endpoint: Endpoint) -> None:
        """Add an endpoint, which gets events from now on; a new tenant is created."""
        values = {name: getattr(endpoint, name) for name in ("tenant", "url", "secret", "created_at")}
        row = {"id": UUID(endpoint.id), "kinds": list(endpoint.kinds), "next_at": endpoint.created_at, **values}
        tenant = insert(_tenants).values(id=endpoint.tenant, policy={}, created_at=endpoint.created_at)
        with transaction(self._engine) as connection:
            connection.execute(tenant.on_conflict_do_nothing())
            connection.execute(insert(_endpoints).values(**row))

    def all(self, tenant: str | None) -> list[Endpoint]:
        """Return the endpoints, oldest first."""
        wanted = select(_endpoints, _waiting()).where(true() if tenant is None else _endpoint.tenant == tenant)
        with stepping_over(self._engine, Loop.LISTS, "webhook") as usable, transaction(self._engine) as connection:
            return usable(connection.execute(wanted.order_by(_endpoint.created_at, _endpoint.id)), _endpoint_of)

    def find(self, tenant: str | None, endpoint_id: str) -> Endpoint | None:
        """Return one endpoint, or None."""
        wanted = select(_endpoints, _waiting()).where(owned(_endpoints, tenant, endpoint_id))
        with transaction(self._engine) as connection:
            row = connection.execute(wanted).first()
            return _endpoint_of(row) if row else None

    def remove(self, tenant: str | None, endpoint_id: str) -> bool:
        """Delete the endpoint; False when there is none."""
        mine = owned(_endpoints, tenant, endpoint_id)
        # Deletion may take a while, and writers of activities would wait for it; not for an endpoint without kinds.
        with transaction(self._engine) as connection:
            connection.execute(update(_endpoints).where(mine).values(kinds=[]))
        with transaction(self._engine) as connection:
            return connection.execute(delete(_endpoints).where(mine)).rowcount > 0

    def enable(self, tenant: str | None, endpoint_id: str, *, now: datetime) -> bool:
        """Send to it again, waiting events first; False when there is none."""
        fresh = {"tries": 0, "failing_since": None, "disabled_at": None, "reason": None, "next_at": now}
        with transaction(self._engine) as connection:
            changed = update(_endpoints).where(owned(_endpoints, tenant, endpoint_id)).values(**fresh)
            return connection.execute(changed).rowcount > 0

    def replay(self, tenant: str | None, endpoint_id: str, *, since: datetime, until: datetime) -> int | None:
        """Queue the events between `since` and `until` again; return how many, None when there is no endpoint."""
        with transaction(self._engine) as connection:
            mine = select(_endpoint.id).where(owned(_endpoints, tenant, endpoint_id))
            id_ = connection.execute(mine).scalar_one_or_none()
            if id_ is None:
                return None
            again = _REPLAY.execution_options(preserve_rowcount=True)
            return connection.execute(again, {"endpoint": id_, "since": since, "until": until}).rowcount

    def attempts(self, tenant: str | None, endpoint_id: str, *, limit: int) -> list[Attempt] | None:
        """Return the latest attempts, newest first."""
        mine = select(_endpoint.id).where(owned(_endpoints, tenant, endpoint_id))
        with transaction(self._engine) as connection:
            id_ = connection.execute(mine).scalar_one_or_none()
            if id_ is None:
                return None
            wanted = select(_attempts).where(_attempt.endpoint_id == id_).order_by(_attempt.id.desc()).limit(limit)
            return [_attempt_of(row) for row in connection.execute(wanted)]

    def take(self, *, now: datetime, until: datetime) -> WebhookDelivery | None:
        """Lease the endpoint that has been due longest, with its waiting events; see the port."""
        sequence = attrgetter("sequence")
        with (
            stepping_over(self._engine, Loop.WEBHOOKS, "activity", name=sequence) as usable,
            transaction(self._engine) as connection,
        ):
            row = connection.execute(_CLAIM, {"now": now, "until": until}).first()
            if row is None:
                return None
            parameters = {"endpoint": row.id, "most": most_after(row.tries)}
            rows = connection.execute(_WAITING_EVENTS, parameters).all()
            events = usable(rows, _event_of)
            if unreadable := {one.sequence for one in rows} - {one.sequence for one in events}:
                # These cannot be sent, and the events behind them must not wait for a person.
                mine = (_event.endpoint_id == row.id) & _event.activity_id.in_(unreadable)
                connection.execute(update(_events).where(mine).values(told_at=now))
        return WebhookDelivery(endpoint=_endpoint_of(row), events=events, taken_until=until) if events else None

    def set_aside(self, endpoint_id: str, error: Exception, *, until: datetime) -> None:
        """Send nothing to the endpoint until `until`; see the port."""
        with transaction(self._engine) as connection:
            connection.execute(update(_endpoints).where(_endpoint.id == UUID(endpoint_id)).values(taken_until=until))
        note_skipped(self._engine, Loop.WEBHOOKS, [(f"webhook {endpoint_id}", why(error))])

    def delivered(self, parcel: WebhookDelivery, attempt: Attempt) -> None:
        """Record that the endpoint accepted the events."""
        known = [event.sequence for event in parcel.events]
        with transaction(self._engine) as connection:
            # The endpoint is locked first, as everywhere, so that two that record the same do not deadlock.
            values: dict[str, Any] = {"tries": 0, "failing_since": None, "next_at": attempt.at, "taken_until": None}
            connection.execute(update(_endpoints).where(_held(parcel)).values(**values))
            mine = (_event.endpoint_id == UUID(parcel.endpoint.id)) & _event.activity_id.in_(known)
            connection.execute(update(_events).where(mine).values(told_at=attempt.at))
            _note(connection, parcel, attempt)

    def failed(self, parcel: WebhookDelivery, attempt: Attempt, *, retry_at: datetime | None, reason: str = "") -> None:
        """Record a failed attempt; without `retry_at` the endpoint is disabled."""
        values: dict[str, Any] = {
            "tries": func.least(_endpoint.tries, _MOST_TRIES) + 1,
            "failing_since": func.coalesce(_endpoint.failing_since, attempt.at),
            "taken_until": None,
        }
        values |= {"next_at": retry_at} if retry_at else {"disabled_at": attempt.at, "reason": reason}
        with transaction(self._engine) as connection:
            connection.execute(update(_endpoints).where(_held(parcel)).values(**values))
            _note(connection, parcel, attempt)

    def waiting(self) -> tuple[int, int]:
        """Count the waiting events of enabled endpoints, and the disabled endpoints."""
        enabled = select(_endpoint.id).where(_endpoint.disabled_at.is_(None))
        waiting = select(func.count()).where(_event.told_at.is_(None), _event.endpoint_id.in_(enabled))
        disabled = select(func.count()).where(_endpoint.disabled_at.is_not(None))
        with transaction(self._engine) as connection:
            return connection.execute(waiting).scalar_one(), connection.execute(disabled).scalar_one()

    def forget(self, *, before: datetime) -> int:
        """Delete attempts and sent events from before `before`, and events waiting for endpoints disabled before it."""
        disabled = select(_endpoint.id).where(_endpoint.disabled_at < before)
        old = or_(_event.told_at < before, _event.endpoint_id.in_(disabled) & _event.told_at.is_(None))
        with transaction(self._engine) as connection:
            connection.execute(delete(_attempts).where(_attempt.at < before))
            return connection.execute(delete(_events).where(old)).rowcount


def _waiting() -> Any:
    """Return the count of an endpoint's waiting events, as a column."""
    mine = (_event.endpoint_id == _endpoint.id) & _event.told_at.is_(None)
    return select(func.count()).where(mine).scalar_subquery().label("waiting")


def _held(parcel: WebhookDelivery) -> Any:
    """Return the condition that the lease of the endpoint is still this one."""
    return (_endpoint.id == UUID(parcel.endpoint.id)) & (_endpoint.taken_until == parcel.taken_until)


def _note(connection: Connection, parcel: WebhookDelivery, attempt: Attempt) -> None:
    there = select(_endpoint.id).where(_endpoint.id == UUID(parcel.endpoint.id))
    if connection.execute(there).first():
        connection.execute(insert(_attempts).values(endpoint_id=UUID(parcel.endpoint.id), **asdict(attempt)))


def _endpoint_of(row: Row[Any]) -> Endpoint:
    stored = row._mapping
    same = ("tenant", "url", "secret", "created_at", "tries", "failing_since", "next_at", "disabled_at", "reason")
    return Endpoint(
        id=str(row.id),
        kinds=tuple(row.kinds),
        waiting=stored.get("waiting", 0),
        **{name: stored[name] for name in same},
    )


def _event_of(row: Row[Any]) -> WebhookEvent:
    stored = dict(row._mapping)
    ids = {name: str(stored[name]) for name in ("message_id", "batch_id")}
    shaped = {"metadata": texts_of(stored["metadata"]), "facts": table_of(stored["facts"])}
    return WebhookEvent(**stored | ids | shaped)


def _attempt_of(row: Row[Any]) -> Attempt:
    return Attempt(**{name: getattr(row, name) for name in ("at", "news", "first", "last", "status", "fault")})
