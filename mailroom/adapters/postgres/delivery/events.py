"""Provider events applied to messages in SQL: a few statements for hundreds of events.

    lock the messages, by id ─> store new activities ─> change messages by the new ones ─> suppress addresses ─> count
                            └─> park events without a message; they are tried again

Every writer of events locks in this order, so that two transactions with events of the same messages wait for each other
without a deadlock. Rows are passed as one JSON text.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.delivery.earlier_attempts import EarlierAttempts, earlier_attempts, provider_ids
from mailroom.adapters.postgres.delivery.event_rows import event_of, event_values
from mailroom.adapters.postgres.delivery.suppressing import suppress
from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import table
from mailroom.adapters.postgres.outbound.models import ParkedEventRow
from mailroom.adapters.postgres.skipped_rows import AGAIN_AFTER, note_skipped, stepping_over, why
from mailroom.domain.delivery.earlier_attempts import EarlierAttempt, NewestAttempt, counts, is_earlier
from mailroom.domain.delivery.events import OURS, PARKED_FOR, DeliveryEvent, Kind, advance, counts_as, next_try
from mailroom.domain.errors import TransientError
from mailroom.domain.inbound.routing import normalise
from mailroom.domain.outbound.message import Status
from mailroom.ports.events import Folded, Parked
from mailroom.ports.monitoring import Loop

_parked = table(ParkedEventRow).c

#: Kinds that become the message's reason; a hard bounce replaces a soft one.
_REASONS = frozenset({Kind.BOUNCED_HARD, Kind.BOUNCED_SOFT, Kind.COMPLAINED, Kind.REJECTED, Kind.SUPPRESSED})

_LOCK = text("""
    with given as (
        select * from json_to_recordset(:rows) as given (message_id uuid, provider text, provider_message_id text)
    ), wanted as (
        select message_id as id from given where message_id is not null
        union
        select message.id from given join message
            on message.provider = given.provider and message.provider_message_id = given.provider_message_id
        union
        select earlier.message_id from given join earlier_attempt as earlier
            on earlier.provider = given.provider and earlier.provider_message_id = given.provider_message_id
    )
    select id, tenant, recipient, status, reason, handed_at, attempts, provider, provider_message_id
    from message where id in (select id from wanted) order by id for update
""")
_NOTE = text("""
    insert into activity (message_id, at, kind, actor, provider, event_id, facts)
    select message_id, at, kind, actor, provider, event_id, facts
    from json_to_recordset(:rows) as given (message_id uuid, at timestamptz, kind text, actor text, provider text,
        event_id text, facts jsonb)
    on conflict (provider, event_id) where event_id is not null do nothing
    returning provider, event_id
""")
# Executed last: another transaction that counts the same kinds waits here for the commit.
_COUNT = text("""
    insert into event_tally (provider, kind, events)
    select provider, kind, events from json_to_recordset(:rows) as given (provider text, kind text, events bigint)
    order by provider, kind
    on conflict (provider, kind) do update
        set events = least(event_tally.events::numeric + excluded.events, 9223372036854775807)
""")
_CHANGE = text("""
    update message set status = given.status, reason = given.reason, changed_at = :now,
        handed_at = coalesce(message.handed_at, :now), provider = coalesce(message.provider, given.provider),
        provider_message_id = coalesce(message.provider_message_id, given.provider_message_id)
    from json_to_recordset(:rows) as given (id uuid, status text, reason text, provider text, provider_message_id text)
    where message.id = given.id
""")
_PARK = text("""
    insert into parked_event (provider, event_id, provider_message_id, message_id, event, parked_at, next_at, tries)
    select provider, event_id, provider_message_id, message_id, event, :now, :next_at, 0
    from json_to_recordset(:rows) as given (provider text, event_id text, provider_message_id text, message_id uuid,
        event jsonb)
    on conflict (provider, event_id) do nothing
    returning event_id
""")
_DUE = text("""
    select id, event, tries, parked_at from parked_event
    where matched_at is null and next_at <= :now and parked_at > :young and (cast(:only as bigint) is null or id = :only)
    order by id limit :most for update skip locked
""")
_TRIED = text("""
    update parked_event set matched_at = given.matched_at, next_at = given.next_at, tries = given.tries
    from json_to_recordset(:rows) as given (id bigint, matched_at timestamptz, next_at timestamptz, tries int)
    where parked_event.id = given.id
""")
#: Tries are counted up to here: a larger number could overflow its column, and fail all events that are tried with it.
_MOST_TRIES = 1_000_000
_PUT_OFF = text("update parked_event set next_at = :next_at, tries = least(tries, 1000000) + 1 where id = :id")


class SqlEvents:
    """The port `Events` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, events: Sequence[DeliveryEvent], *, now: datetime) -> Folded:
        """Store each event as an activity of its message; one whose message is not known is parked."""
        once = _once(events)
        if not once:
            return Folded()
        with transaction(self._engine) as connection:
            owners = _owners(connection, once)
            matched = _fold(connection, [(event, owners[_key(event)]) for event in once if _key(event) in owners], now)
            parked = _park(connection, [event for event in once if _key(event) not in owners], now)
        return Folded(matched=matched, parked=parked, repeated=len(events) - matched - parked)

    def rematch(self, *, now: datetime, limit: int) -> Folded:
        """Try parked events again, each when its time has come."""
        try:
            return self._rematch(now, limit)
        except TransientError:
            raise
        except Exception:  # noqa: BLE001 - one event must not stop all others; `_rematch_each` finds it
            return self._rematch_each(now, limit)

    def _rematch_each(self, now: datetime, limit: int) -> Folded:
        """Try parked events again, each in its own transaction; one that fails is noted as skipped and postponed."""
        with transaction(self._engine) as connection:
            due = {"now": now, "young": now - PARKED_FOR, "most": limit, "only": None}
            ids = [row.id for row in connection.execute(_DUE, due)]
        folded, stepped = list[Folded](), list[tuple[str, str]]()
        for id_ in ids:
            try:
                folded.append(self._rematch(now, 1, only=id_))
            except TransientError:
                raise
            except Exception as error:  # noqa: BLE001 - the others are still tried
                stepped.append((f"parked event {id_}", why(error)))
                with transaction(self._engine) as connection:
                    connection.execute(_PUT_OFF, {"id": id_, "next_at": now + AGAIN_AFTER})
        note_skipped(self._engine, Loop.PARKED, stepped)
        return Folded(
            matched=sum(one.matched for one in folded),
            parked=sum(one.parked for one in folded),
            repeated=sum(one.repeated for one in folded),
        )

    def _rematch(self, now: datetime, limit: int, *, only: int | None = None) -> Folded:
        with (
            stepping_over(self._engine, Loop.PARKED, "parked event") as usable,
            transaction(self._engine) as connection,
        ):
            due = {"now": now, "young": now - PARKED_FOR, "most": limit, "only": only}
            rows = connection.execute(_DUE, due).all()
            if not rows:
                return Folded()
            events = dict(usable(rows, lambda row: (row.id, event_of(row.event, received_at=row.parked_at))))
            owners = _owners(connection, list(events.values()))
            owned_events = [(event, owners[_key(event)]) for event in events.values() if _key(event) in owners]
            matched = _fold(connection, owned_events, now)
            tried = [
                {
                    "id": row.id,
                    "tries": min(row.tries, _MOST_TRIES) + 1,
                    "next_at": next_try(row.tries + 1, now).isoformat(),
                    "matched_at": now.isoformat() if row.id in events and _key(events[row.id]) in owners else None,
                }
                for row in rows
            ]
            connection.execute(_TRIED, {"rows": json.dumps(tried)})
        return Folded(matched=matched, parked=len(rows) - len(owned_events), repeated=len(owned_events) - matched)

    def parked(self, *, now: datetime) -> Parked:
        """Count the parked events."""
        young = _parked.parked_at > now - PARKED_FOR
        counted = select(
            func.count().filter(young), func.count().filter(~young), func.min(_parked.parked_at).filter(young)
        ).where(_parked.matched_at.is_(None))
        with transaction(self._engine) as connection:
            waiting, aged, oldest = connection.execute(counted).one()
        return Parked(waiting=waiting, aged=aged, oldest=oldest)


def _key(event: DeliveryEvent) -> tuple[str, str]:
    return event.provider, event.event_id


def _once(events: Iterable[DeliveryEvent]) -> list[DeliveryEvent]:
    first: dict[tuple[str, str], DeliveryEvent] = {}
    for event in events:
        first.setdefault(_key(event), event)
    return [first[key] for key in sorted(first)]


def _owners(connection: Connection, events: Sequence[DeliveryEvent]) -> dict[tuple[str, str], Row[Any]]:
    """Lock the messages of these events, and return each event's message where there is one."""
    rows = [
        {"message_id": _uuid(event), "provider": event.provider, "provider_message_id": event.provider_message_id}
        for event in events
    ]
    locked = connection.execute(_LOCK, {"rows": json.dumps(rows)}).all()
    earlier = earlier_attempts(connection, locked)
    by_id = {str(row.id): row for row in locked}
    by_provider = {key: row for row in locked for key in provider_ids(row, earlier)}
    owners = {}
    for event in events:
        candidates = (by_id.get(_uuid(event) or ""), by_provider.get((event.provider, event.provider_message_id)))
        row = next((row for row in candidates if row is not None and _belongs_to(event, row, earlier)), None)
        if row is not None:
            owners[_key(event)] = row
    return owners


def _uuid(event: DeliveryEvent) -> str | None:
    try:
        return str(UUID(event.message_id)) if event.message_id else None
    except ValueError:
        return None


def _belongs_to(event: DeliveryEvent, row: Row[Any], earlier: EarlierAttempts) -> bool:
    """Return whether the event may change this message: the id in its tag counts only if all other fields agree."""
    providers = {row.provider, *(one.provider for one in earlier.get(row.id, ()))}
    provider = event.provider == OURS or None in providers or event.provider in providers
    return provider and event.tenant in (None, row.tenant) and _is_recipient(event.recipient, row.recipient)


def _is_recipient(reported: str | None, recipient: str) -> bool:
    try:
        return reported is None or normalise(reported) == recipient
    except ValueError:
        return False


def _fold(connection: Connection, owned_events: Sequence[tuple[DeliveryEvent, Row[Any]]], now: datetime) -> int:
    """Store these events, change the messages of the new ones, and return how many were new."""
    if not owned_events:
        return 0
    notes = [event_values(event) | {"message_id": str(row.id)} for event, row in owned_events]
    fresh = {(row.provider, row.event_id) for row in connection.execute(_NOTE, {"rows": json.dumps(notes)})}
    new = [(event, row) for event, row in owned_events if _key(event) in fresh]
    values: dict[UUID, list[DeliveryEvent]] = defaultdict(list)
    rows = {row.id: row for _, row in new}
    for event, row in new:
        values[row.id].append(event)
    earlier = earlier_attempts(connection, rows.values())
    changes = [change for id_, row in rows.items() if (change := _change(row, values[id_], earlier.get(id_, ())))]
    if changes:
        connection.execute(_CHANGE, {"rows": json.dumps(changes), "now": now})
    again = [
        (event, row) for event, row in owned_events if event.kind is Kind.UNSUBSCRIBED and _key(event) not in fresh
    ]
    written = suppress(connection, new, again=again)
    _note_again(connection, [(event, row) for event, row in again if row.id in written])
    _count(connection, [event for event, _ in new])
    return len(new)


def _note_again(connection: Connection, events: Sequence[tuple[DeliveryEvent, Row[Any]]]) -> None:
    """Write that a recipient left again by an event that was here before: an activity under an id of its own."""
    notes = [
        event_values(event)
        | {
            "message_id": str(row.id),
            "event_id": f"{event.event_id}-{uuid4()}",
            "facts": {**event.facts, "again": "true"},
        }
        for event, row in events
    ]
    if notes:
        connection.execute(_NOTE, {"rows": json.dumps(notes)})


def _count(connection: Connection, events: Sequence[DeliveryEvent]) -> None:
    tally = Counter((event.provider, event.kind) for event in events)
    counted = [{"provider": provider, "kind": kind, "events": count} for (provider, kind), count in tally.items()]
    if counted:
        connection.execute(_COUNT, {"rows": json.dumps(counted)})


def _change(
    row: Row[Any], events: Iterable[DeliveryEvent], earlier: Sequence[EarlierAttempt]
) -> Mapping[str, Any] | None:
    """Return the message's columns after its new events, or None when nothing changes."""
    newest = NewestAttempt(
        begun=row.handed_at is not None, provider=row.provider, provider_message_id=row.provider_message_id
    )
    events = [event for event in events if counts(event, newest, earlier)]
    if not events:
        return None
    # Deferred by us, it was not sent as far as we know; the provider's event outweighs that.
    ours = row.status == Status.DEFERRED and row.handed_at is None
    status, reason, provider, provider_message_id = (
        # A stored status that is unknown here counts as `queued`, so that the provider's event outweighs it.
        Status.QUEUED if ours or row.status not in set(Status) else Status(row.status),
        row.reason,
        None,
        None,
    )
    for event in events:
        kind = counts_as(event)
        then = advance(status, kind)
        if then is not status or (then is Status.BOUNCED and kind is Kind.BOUNCED_HARD):
            status, reason = then, kind.value if kind in _REASONS else None
        if event.provider != OURS and not (newest.begun and is_earlier(event, newest, earlier)):
            provider, provider_message_id = event.provider, event.provider_message_id or provider_message_id
    known = row.provider_message_id or not provider_message_id
    if status == row.status and reason == row.reason and row.handed_at is not None and known:
        return None
    return {
        "id": str(row.id),
        "status": status,
        "reason": reason,
        "provider": provider,
        "provider_message_id": provider_message_id,
    }


def _park(connection: Connection, events: Sequence[DeliveryEvent], now: datetime) -> int:
    if not events:
        return 0
    rows = [
        {
            "provider": event.provider,
            "event_id": event.event_id,
            "provider_message_id": event.provider_message_id,
            "message_id": _uuid(event),
            "event": event_values(event),
        }
        for event in events
    ]
    values = {"rows": json.dumps(rows), "now": now, "next_at": next_try(0, now)}
    return len(connection.execute(_PARK, values).all())
