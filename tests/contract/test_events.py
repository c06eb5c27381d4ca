"""The port `Events` in memory and on PostgreSQL: each event once, and parked until its message is known.

What events do to messages is in `test_events_sql`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.delivery.events import PARKED_FOR, DeliveryEvent, Kind
from mailroom.domain.outbound.message import Batch, Content, Draft, Party
from mailroom.ports.events import Events, Folded, Parked
from mailroom.testing.events import MemoryEvents
from mailroom.testing.notices import an_event

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Case:
    """An `Events`, and how a message becomes known to it."""

    events: Events
    send: Callable[[str], object]


@pytest.fixture(params=["memory", "sql"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "memory":
        known: set[str] = set()
        return Case(MemoryEvents(known), known.add)
    engine = request.getfixturevalue("engine")

    def send(message_id: str) -> object:
        batch = Batch(id=str(uuid4()), tenant="acme", from_=Party("desk@acme.test"))
        draft = Draft(id=message_id, number=0, to=Party("ada@users.test"), content=0)
        return SqlOutbox(engine).accept(batch, [Content(subject="s", text="t", html=None)], [draft], now=NOW)

    return Case(SqlEvents(engine), send)


def an_event_of(message_id: str, kind: Kind = Kind.DELIVERED) -> DeliveryEvent:
    return an_event(kind, f"{message_id}-{kind}", message_id=message_id)


def test_an_event_is_recorded_once_however_often_it_comes(case: Case) -> None:
    """In one call, in the next, and beside new ones."""
    message = str(uuid4())
    case.send(message)

    first = case.events.record([an_event_of(message), an_event_of(message)], now=NOW)
    again = case.events.record([an_event_of(message), an_event_of(message, Kind.OPENED)], now=NOW)

    assert first == Folded(matched=1, repeated=1)
    assert again == Folded(matched=1, repeated=1)
    assert case.events.record([], now=NOW) == Folded()


def test_an_event_of_an_unknown_message_waits_for_it(case: Case) -> None:
    """It may overtake the commit of the send; it is tried again when due, and not before."""
    message = str(uuid4())

    early = case.events.record([an_event_of(message)], now=NOW)
    repeated = case.events.record([an_event_of(message)], now=NOW)
    counted = case.events.parked(now=NOW)
    too_soon = case.events.rematch(now=NOW, limit=10)
    in_vain = case.events.rematch(now=NOW + timedelta(seconds=1), limit=10)
    case.send(message)
    matched = case.events.rematch(now=NOW + timedelta(minutes=1), limit=10)

    assert (early, repeated, counted) == (Folded(parked=1), Folded(repeated=1), Parked(waiting=1, oldest=NOW))
    assert (too_soon, in_vain, matched) == (Folded(), Folded(parked=1), Folded(matched=1))
    assert case.events.parked(now=NOW) == Parked()
    assert case.events.record([an_event_of(message)], now=NOW) == Folded(repeated=1)


def test_a_parked_event_ages(case: Case) -> None:
    """It must not be tried for ever."""
    case.events.record([an_event_of(str(uuid4()))], now=NOW)
    old = NOW + PARKED_FOR + timedelta(seconds=1)

    assert case.events.rematch(now=old, limit=10) == Folded()
    assert case.events.parked(now=old) == Parked(aged=1)


def test_the_limit_of_parked_events_per_try_holds(case: Case) -> None:
    """A day's events of another account must not hold a statement for minutes."""
    case.events.record([an_event_of(str(uuid4())) for _ in range(3)], now=NOW)

    assert case.events.rematch(now=NOW + timedelta(minutes=1), limit=2) == Folded(parked=2)
