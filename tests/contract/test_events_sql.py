"""Delivery events on PostgreSQL: in any order and number of repetitions, the result is the same (R14)."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.delivery.events import OURS, PARKED_FOR, Actor, DeliveryEvent, Kind
from mailroom.domain.delivery.suppression import SOFT_BOUNCES, SOFT_FOR, SOFT_WITHIN
from mailroom.domain.outbound.message import Batch, Content, Draft, Party, Status
from mailroom.ports.events import Folded, Parked
from mailroom.testing.notices import an_event

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
CONTENT = Content(subject="Your invoice", text="It is attached.", html=None)


@pytest.fixture
def events(engine: Engine) -> SqlEvents:
    return SqlEvents(engine)


def sent(
    engine: Engine, count: int = 1, *, tenant: str = "acme", to: str = "u{}@users.test", **values: Any
) -> list[str]:
    """Return the ids of messages that were sent to SES, their responses not settled yet."""
    batch = Batch(id=str(uuid4()), tenant=tenant, from_=Party("desk@acme.test"))
    drafts = [Draft(id=str(uuid4()), number=at, to=Party(to.format(at)), content=0) for at in range(count)]
    SqlOutbox(engine).accept(batch, [CONTENT], drafts, now=NOW)
    values = {"status": "sending", "handed_at": NOW, "provider": "ses", "provider_message_id": None} | values
    changed = ", ".join(f"{name} = :{name}" for name in values)
    with engine.begin() as connection:
        connection.execute(text(f"update message set {changed} where batch_id = :batch"), {**values, "batch": batch.id})
    return [draft.id for draft in drafts]


def settle(engine: Engine, message_id: str, provider_message_id: str) -> None:
    """Record the provider's response, as settling does."""
    with engine.begin() as connection:
        connection.execute(
            text("update message set provider_message_id = :known where id = :id"),
            {"known": provider_message_id, "id": message_id},
        )


def rows(engine: Engine, statement: str, **values: Any) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(statement), values))


def end(engine: Engine, message_id: str) -> tuple[Any, ...]:
    found = rows(engine, "select status, reason, provider_message_id from message where id = :id", id=message_id)
    return tuple(found[0])


def kinds(engine: Engine, message_id: str) -> list[str]:
    statement = "select kind from activity where message_id = :id and event_id is not null order by kind"
    return [row.kind for row in rows(engine, statement, id=message_id)]


def life(message_id: str | None, provider_message_id: str | None = "ses-1", *last: Kind) -> list[DeliveryEvent]:
    output = [Kind.SENT, Kind.DELAYED, Kind.DELIVERED, Kind.OPENED, Kind.CLICKED, *last]
    return [
        an_event(kind, f"{message_id}-{kind}", message_id=message_id, provider_message_id=provider_message_id)
        for kind in output
    ]


def test_each_event_is_one_activity_and_one_step(events: SqlEvents, engine: Engine) -> None:
    """The history has every event; the status is their sum, and any event settles a sent message."""
    [message] = sent(engine)

    folded = events.record(life(message), now=NOW)

    assert folded == Folded(matched=5)
    assert end(engine, message) == ("clicked", None, "ses-1")
    assert kinds(engine, message) == ["clicked", "delayed", "delivered", "opened", "sent"]


def test_events_five_times_in_reverse_and_72_hours_late_give_the_same_result(events: SqlEvents, engine: Engine) -> None:
    """SES promises neither order nor exactly-once, and a queue may have stood still for three days."""
    [straight, crooked] = sent(engine, 2)
    events.record(life(straight, "a", Kind.BOUNCED_HARD), now=NOW)

    for _ in range(5):
        for event in reversed(life(crooked, "b", Kind.BOUNCED_HARD)):
            events.record([event], now=NOW + timedelta(hours=72))

    assert end(engine, crooked)[:2] == end(engine, straight)[:2] == ("bounced", "bounced_hard")
    assert kinds(engine, crooked) == kinds(engine, straight)


def test_every_order_of_bounces_and_complaint_ends_the_same(events: SqlEvents, engine: Engine) -> None:
    """Status and its reason are the same whichever event came first."""
    output = (Kind.BOUNCED_SOFT, Kind.BOUNCED_HARD, Kind.DELIVERED)
    orders = list(permutations(output))
    messages = sent(engine, len(orders))

    for message, order in zip(messages, orders, strict=True):
        for kind in order:
            events.record([an_event(kind, f"{message}-{kind}", message_id=message)], now=NOW)

    assert {end(engine, message)[:2] for message in messages} == {("bounced", "bounced_hard")}


def test_an_event_before_the_answer_settles_the_message(events: SqlEvents, engine: Engine) -> None:
    """SNS may be faster than SES's own response; the tag with our id is enough."""
    [message] = sent(engine, status="unknown")

    events.record([an_event(Kind.SENT, message_id=message, provider_message_id="ses-9")], now=NOW)

    assert end(engine, message) == ("dispatched", None, "ses-9")


@pytest.mark.parametrize("status", ["queued", "deferred", "cancelled"])
def test_a_message_with_an_event_is_never_sent_again(events: SqlEvents, engine: Engine, status: str) -> None:
    """It was put back because nothing seemed to have been sent; the event proves otherwise, and twice is worse than late."""
    [message] = sent(engine, status=status, handed_at=None)

    events.record([an_event(Kind.SENT, message_id=message)], now=NOW)

    assert end(engine, message)[0] == "dispatched"
    assert rows(engine, "select handed_at from message")[0].handed_at == NOW


def test_an_event_without_our_id_is_parked_until_the_answer_is_known(events: SqlEvents, engine: Engine) -> None:
    """Tags can be lost; the provider's id is known only when the send has returned."""
    [message] = sent(engine)
    early = an_event(Kind.DELIVERED, provider_message_id="ses-7", recipient="U0@Users.test")

    assert events.record([early, early], now=NOW) == Folded(parked=1, repeated=1)
    assert events.record([early], now=NOW) == Folded(repeated=1)
    assert events.rematch(now=NOW + timedelta(seconds=1), limit=10) == Folded(parked=1)
    settle(engine, message, "ses-7")
    later = events.rematch(now=NOW + timedelta(seconds=30), limit=10)

    assert later == Folded(matched=1)
    assert end(engine, message)[0] == "delivered"
    assert events.parked(now=NOW) == Parked()
    assert events.record([early], now=NOW) == Folded(repeated=1)


def test_a_parked_event_that_a_repetition_matched_is_not_recorded_twice(events: SqlEvents, engine: Engine) -> None:
    """The same call may come again after the send returned, and before the parked event is tried."""
    [message] = sent(engine)
    early = an_event(Kind.DELIVERED, provider_message_id="ses-7")
    events.record([early], now=NOW)
    settle(engine, message, "ses-7")

    assert events.record([early], now=NOW) == Folded(matched=1)
    assert events.rematch(now=NOW + timedelta(hours=1), limit=10) == Folded(repeated=1)
    assert kinds(engine, message) == ["delivered"]


def test_parked_events_are_counted_and_age(events: SqlEvents) -> None:
    """An event of no message of ours is suspicious; it must not be tried for ever."""
    events.record([an_event(Kind.DELIVERED, provider_message_id="nobody's")], now=NOW)
    old = NOW + PARKED_FOR + timedelta(seconds=1)

    assert events.parked(now=NOW) == Parked(waiting=1, oldest=NOW)
    assert events.rematch(now=old, limit=10) == Folded()
    assert events.parked(now=old) == Parked(aged=1)


def test_parked_events_are_tried_less_and_less_often(events: SqlEvents, engine: Engine) -> None:
    """At first within seconds, later once an hour."""
    events.record([an_event(Kind.DELIVERED, provider_message_id="nobody's")], now=NOW)
    moment, waits = NOW, []

    for _ in range(14):
        [due] = rows(engine, "select next_at from parked_event")
        waits.append((due.next_at - moment).total_seconds())
        moment = due.next_at
        events.rematch(now=moment, limit=10)

    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == 3600


@pytest.mark.parametrize(
    "wrong",
    [
        {"provider": "postmark"},
        {"tenant": "other"},
        {"recipient": "somebody@else.test"},
        {"recipient": "not an address"},
        {"message_id": "not an id"},
        {"message_id": "0190a1b2-0000-7000-8000-000000000001"},
    ],
    ids=lambda wrong: f"{next(iter(wrong))}: {next(iter(wrong.values()))}",
)
def test_an_event_that_is_not_this_messages_touches_nothing(
    events: SqlEvents, engine: Engine, wrong: dict[str, Any]
) -> None:
    """G77: an id in a tag is a claim; provider, recipient and tenant must agree with it."""
    [message] = sent(engine)

    folded = events.record([an_event(Kind.BOUNCED_HARD, **{"message_id": message} | wrong)], now=NOW)

    assert folded == Folded(parked=1)
    assert end(engine, message) == ("sending", None, None)
    assert rows(engine, "select * from suppression") == []


def test_the_actor_is_stored_and_a_machine_proves_delivery_only(events: SqlEvents, engine: Engine) -> None:
    """Scanners open and click: they are distinguished from people, and do not give a reader's status."""
    [message] = sent(engine)
    looks = [
        an_event(Kind.CLICKED, "1", message_id=message, actor=Actor.MACHINE),
        an_event(Kind.DELIVERED, "2", message_id=message),
    ]

    events.record(looks, now=NOW)
    output = rows(engine, "select kind, actor from activity where event_id is not null order by event_id")

    assert end(engine, message)[0] == "delivered"
    assert [tuple(row) for row in output] == [("clicked", "machine"), ("delivered", None)]


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        (Kind.BOUNCED_HARD, "hard_bounce"),
        (Kind.COMPLAINED, "complaint"),
        (Kind.UNSUBSCRIBED, "unsubscribe"),
        (Kind.SUPPRESSED, "provider_list"),
    ],
)
def test_address_is_suppressed_with_its_cause(events: SqlEvents, engine: Engine, kind: Kind, cause: str) -> None:
    """In the same transaction, so that no mail is sent in between. The message names the event that caused it."""
    [message] = sent(engine)

    events.record([an_event(kind, message_id=message)], now=NOW)

    [row] = rows(engine, "select * from suppression")
    assert (row.tenant, row.address, row.reason, str(row.message_id)) == ("acme", "u0@users.test", cause, message)
    assert (row.expires_at is None) is (cause != "provider_list")


def test_soft_bounces_suppress_at_the_threshold_for_a_while(events: SqlEvents, engine: Engine) -> None:
    """A full mailbox may be emptied: only after several messages within some days, and not permanently."""
    messages = [sent(engine, to="full@users.test")[0] for _ in range(SOFT_BOUNCES)]
    output = [an_event(Kind.BOUNCED_SOFT, message, message_id=message) for message in messages]

    events.record(output[:-1] * 5, now=NOW)
    before = rows(engine, "select * from suppression")
    events.record(output[-1:], now=NOW)

    assert before == []
    [row] = rows(engine, "select * from suppression")
    assert (row.reason, row.expires_at) == ("soft_bounces", output[-1].at + SOFT_FOR)


def test_soft_bounces_of_long_ago_do_not_count(events: SqlEvents, engine: Engine) -> None:
    """Five in a year are no sign of anything."""
    messages = [sent(engine, to="full@users.test")[0] for _ in range(SOFT_BOUNCES)]
    output = [an_event(Kind.BOUNCED_SOFT, message, message_id=message) for message in messages]
    long_ago = output[0].at - SOFT_WITHIN - timedelta(days=1)

    events.record([replace(output[0], at=long_ago), *output[1:]], now=NOW)

    assert rows(engine, "select * from suppression") == []


@pytest.mark.parametrize("first", [0, SOFT_BOUNCES - 1])
def test_a_late_soft_bounce_counts_at_its_own_time(events: SqlEvents, engine: Engine, first: int) -> None:
    """Another address's newer bounces, and the order of arrival, change nothing."""
    others = [sent(engine, to="other@users.test")[0] for _ in range(2)]
    messages = [sent(engine, to="full@users.test")[0] for _ in range(SOFT_BOUNCES)]
    output = [an_event(Kind.BOUNCED_SOFT, message, message_id=message) for message in messages]
    output[first] = replace(output[first], at=output[first].at - SOFT_WITHIN - timedelta(days=1))
    newer = [an_event(Kind.BOUNCED_SOFT, message, message_id=message) for message in others]

    for event in output:
        events.record([event], now=NOW)
    within = rows(engine, "select * from suppression")
    sixth = sent(engine, to="full@users.test")[0]
    ahead = [replace(one, at=one.at + 2 * SOFT_WITHIN) for one in newer]
    events.record([an_event(Kind.BOUNCED_SOFT, sixth, message_id=sixth), *ahead], now=NOW)

    assert within == []
    assert [row.address for row in rows(engine, "select * from suppression")] == ["full@users.test"]


def test_the_longer_suppression_replaces_the_shorter(events: SqlEvents, engine: Engine) -> None:
    """Suppressed for a month, then bounced for good: it must not end with the month. The reverse changes nothing."""
    [message] = sent(engine)

    events.record([an_event(Kind.SUPPRESSED, "1", message_id=message)], now=NOW)
    events.record([an_event(Kind.BOUNCED_HARD, "2", message_id=message)], now=NOW)
    events.record([an_event(Kind.SUPPRESSED, "3", message_id=message)], now=NOW)

    [row] = rows(engine, "select * from suppression")
    assert (row.reason, row.expires_at) == ("hard_bounce", None)


def test_our_own_event_finds_the_message_of_any_provider(events: SqlEvents, engine: Engine) -> None:
    """Unsubscribing on our page is no provider's event, and does not name the provider that sent the mail."""
    [message] = sent(engine, provider="postmark", status="dispatched")

    events.record([an_event(Kind.UNSUBSCRIBED, provider=OURS, message_id=message)], now=NOW)

    assert end(engine, message)[0] == "delivered"
    assert rows(engine, "select provider from message")[0].provider == "postmark"


def batches_of(events: Sequence[DeliveryEvent], size: int) -> list[Sequence[DeliveryEvent]]:
    return [events[at : at + size] for at in range(0, len(events), size)]


@pytest.mark.parametrize(
    "arrange", [list, lambda events: list(reversed(events)), sorted], ids=["as is", "reverse", "by id"]
)
def test_concurrent_events_of_the_same_messages_do_not_deadlock(
    events: SqlEvents, engine: Engine, arrange: Callable[..., list[DeliveryEvent]]
) -> None:
    """Webhooks and the queue report the same messages; rows are locked in one order, so no deadlock."""
    messages = sent(engine, 40)
    output = [event for message in messages for event in life(message, f"ses-{message}", Kind.COMPLAINED)]
    output = arrange(output) if arrange is not sorted else sorted(output, key=lambda event: event.event_id[::-1])
    calls = batches_of(output, 37) + batches_of(list(reversed(output)), 53)

    with ThreadPoolExecutor(6) as pool:
        folded = list(pool.map(lambda some: events.record(some, now=NOW), calls))

    assert sum(one.matched for one in folded) == len(output)
    assert sum(one.repeated for one in folded) == len(output)
    assert {end(engine, message)[0] for message in messages} == {Status.COMPLAINED}


def test_an_empty_list_does_nothing(events: SqlEvents) -> None:
    """A poll of the queue often returns nothing."""
    assert events.record([], now=NOW) == Folded()
    assert events.rematch(now=NOW, limit=10) == Folded()
