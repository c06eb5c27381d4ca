"""Submission on PostgreSQL: a batch is stored once, whole, with the order that sends it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.errors import Conflict
from mailroom.domain.outbound.message import Batch, Content, Draft, Party, Status, StoredAttachment
from mailroom.ports.outbox import Accepted, SubmissionKey
from tests.support.tampering import tampering

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
SOON = NOW + timedelta(seconds=30)
KEY = SubmissionKey("invoices-november", "a" * 64)
CONTENT = Content(subject="Your invoice", text="It is attached.", html=None)


@pytest.fixture
def outbox(engine: Engine) -> SqlOutbox:
    return SqlOutbox(engine)


def batch(**changes: Any) -> Batch:
    return Batch(**{"id": str(uuid4()), "tenant": "acme", "from_": Party("desk@acme.test", "Acme")} | changes)


def drafts(count: int) -> list[Draft]:
    return [Draft(id=str(uuid4()), number=at, to=Party(f"u{at}@users.test"), content=0) for at in range(count)]


def accepted(outbox: SqlOutbox, count: int = 3, key: SubmissionKey | None = None, **changes: Any) -> Accepted:
    return outbox.accept(batch(**changes), [CONTENT], drafts(count), key=key, now=NOW)


def relayed(outbox: SqlOutbox, now: datetime = NOW) -> None:
    outbox.published(outbox.take(most=100, now=now, until=now + timedelta(seconds=30)), now=now)


def values(engine: Engine, statement: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(statement)).scalars())


def statuses(engine: Engine) -> list[str]:
    return values(engine, "select status from message order by number")


def test_a_batch_is_kept_with_its_messages_their_history_and_its_order(outbox: SqlOutbox, engine: Engine) -> None:
    """What was answered 202 must be sent even if this process dies with the response."""
    answer = accepted(outbox)

    assert answer.messages == 3
    assert statuses(engine) == [Status.ACCEPTED] * 3
    assert values(engine, "select kind from activity") == ["accepted"] * 3
    assert [order.batch_id for order in outbox.take(most=10, now=NOW, until=SOON)] == [answer.batch_id]


def test_the_same_key_and_body_is_answered_as_the_first_time(outbox: SqlOutbox, engine: Engine) -> None:
    """A client that lost the response repeats the request; its customers must not get the mail again."""
    first = accepted(outbox, key=KEY)

    again = accepted(outbox, key=KEY)

    assert again == replace(first, repeated=True)
    assert outbox.answered("acme", KEY) == again
    assert len(statuses(engine)) == 3


def test_the_same_key_with_another_body_is_a_conflict(outbox: SqlOutbox, engine: Engine) -> None:
    """One key for two batches is a mistake of the caller that would lose the second."""
    accepted(outbox, key=KEY)

    with pytest.raises(Conflict):
        accepted(outbox, key=replace(KEY, sha256="b" * 64))

    assert len(statuses(engine)) == 3


def test_the_same_key_of_another_tenant_is_another_key(outbox: SqlOutbox) -> None:
    """Tenants choose keys independently."""
    mine, theirs = accepted(outbox, key=KEY), accepted(outbox, key=KEY, tenant="umbrella")

    assert theirs.batch_id != mine.batch_id
    assert not theirs.repeated


def test_the_same_request_at_once_from_many_clients_is_one_batch(outbox: SqlOutbox, engine: Engine) -> None:
    """A load balancer's retry arrives while the first request is still being written."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: accepted(outbox, key=KEY), range(16)))

    assert len({answer.batch_id for answer in answers}) == 1
    assert sum(not answer.repeated for answer in answers) == 1
    assert len(statuses(engine)) == 3


def test_a_batch_that_cannot_be_written_whole_leaves_nothing(outbox: SqlOutbox, engine: Engine) -> None:
    """Half a batch would be answered with an error and sent all the same."""
    twice = [Draft(id=str(uuid4()), number=at, to=Party("ada@users.test"), content=0) for at in range(2)]

    with pytest.raises(Exception, match="refused a statement"):
        outbox.accept(batch(), [CONTENT], twice, key=KEY, now=NOW)

    assert values(engine, "select id from batch") == []
    assert outbox.answered("acme", KEY) is None


def test_a_redelivered_queue_message_is_stored_once_in_any_grouping(outbox: SqlOutbox, engine: Engine) -> None:
    """SQS delivers at least once, and a second time beside other messages than the first."""
    one, two, three = ((SubmissionKey(f"sqs:{at}", "c" * 64), draft) for at, draft in enumerate(drafts(3)))

    kept = [outbox.accept_each(batch(), [CONTENT], some, now=NOW) for some in ([one, two], [two, three], [one, three])]

    assert kept == [2, 1, 0]
    assert len(statuses(engine)) == 3
    assert values(engine, "select messages from batch order by messages") == [1, 2]


def test_an_order_is_leased_to_one_relay_and_again_when_the_lease_expires(outbox: SqlOutbox) -> None:
    """A relay that is killed between taking and publishing must not take its orders with it."""
    accepted(outbox)

    taken = [outbox.take(most=10, now=at, until=at + timedelta(seconds=30)) for at in (NOW, NOW, SOON)]

    assert [len(orders) for orders in taken] == [1, 0, 1]


def test_what_is_published_is_queued_and_never_taken_again(outbox: SqlOutbox, engine: Engine) -> None:
    """The status says that the order is on the queue."""
    accepted(outbox)

    relayed(outbox)

    assert statuses(engine) == [Status.QUEUED] * 3
    assert outbox.take(most=10, now=SOON + timedelta(days=1), until=SOON) == []
    assert values(engine, "select kind from activity order by id") == ["accepted"] * 3 + ["queued"] * 3


def test_a_batch_for_later_is_scheduled_and_its_order_says_for_when(outbox: SqlOutbox, engine: Engine) -> None:
    """The run of a batch for tomorrow exists today, where operators can see it."""
    accepted(outbox, send_at=NOW + timedelta(days=1))

    orders = outbox.take(most=10, now=NOW, until=SOON)
    outbox.published(orders, now=NOW)

    assert [order.due_at for order in orders] == [NOW + timedelta(days=1)]
    assert statuses(engine) == [Status.SCHEDULED] * 3


def test_a_cancel_withholds_what_has_not_gone_and_names_what_has(outbox: SqlOutbox, engine: Engine) -> None:
    """A caller that cancels must know exactly which recipients got the mail by mistake."""
    answer = accepted(outbox)
    with engine.begin() as connection:
        connection.execute(text("update message set status = 'dispatched', handed_at = now() where number = 1"))

    cancelled = outbox.cancel("acme", answer.batch_id, now=NOW)

    assert cancelled is not None
    assert cancelled.cancelled == 2
    assert [(gone.recipient, gone.status) for gone in cancelled.gone] == [("u1@users.test", Status.DISPATCHED)]
    assert statuses(engine) == ["cancelled", "dispatched", "cancelled"]


def test_a_batch_moves_to_another_time_with_a_new_order(outbox: SqlOutbox, engine: Engine) -> None:
    """Earlier or later; sent messages stay sent."""
    answer = accepted(outbox, send_at=NOW + timedelta(days=1))
    relayed(outbox)
    later = NOW + timedelta(days=2)

    assert outbox.reschedule("acme", answer.batch_id, later, now=NOW) == 3

    assert [order.due_at for order in outbox.take(most=10, now=NOW, until=SOON)] == [later]
    assert values(engine, "select distinct due_at from message") == [later]


def test_a_time_that_is_past_is_now(outbox: SqlOutbox, engine: Engine) -> None:
    """Else a batch of 1970 is the oldest that waits, and hides in metrics and alarms those that have waited for an hour."""
    answer = accepted(outbox, send_at=NOW + timedelta(days=1))
    relayed(outbox)

    outbox.reschedule("acme", answer.batch_id, datetime(1970, 1, 1, tzinfo=UTC), now=NOW)

    assert [order.due_at for order in outbox.take(most=10, now=NOW, until=SOON)] == [NOW]
    assert values(engine, "select distinct due_at from message") == [NOW]


@pytest.mark.parametrize("batch_id", ["0190a1b2-0000-7000-8000-0000000000ff", "no-id", ""])
def test_a_tenant_cannot_cancel_or_move_anothers_batch(outbox: SqlOutbox, engine: Engine, batch_id: str) -> None:
    """Another tenant's batch is answered like one that does not exist."""
    theirs = accepted(outbox)

    assert outbox.cancel("umbrella", theirs.batch_id, now=NOW) is None
    assert outbox.reschedule("umbrella", theirs.batch_id, SOON, now=NOW) is None
    assert outbox.cancel("acme", batch_id, now=NOW) is None
    assert statuses(engine) == [Status.ACCEPTED] * 3


def test_files_are_kept_once_for_a_tenant(outbox: SqlOutbox, engine: Engine) -> None:
    """One leaflet to everyone, every month, is one file."""
    enclosure = StoredAttachment(filename="leaflet.pdf", content_type="application/pdf", size=3, sha256="d" * 64)
    content = replace(CONTENT, enclosures=(enclosure,))

    for tenant in ("acme", "acme", "umbrella"):
        outbox.accept(batch(tenant=tenant), [content], drafts(1), files={"d" * 64: b"pdf"}, now=NOW)

    assert values(engine, "select tenant from file order by tenant") == ["acme", "umbrella"]


@pytest.mark.parametrize(
    "statement", ["update activity set kind = 'x'", "delete from activity", "truncate activity cascade"]
)
def test_history_cannot_be_changed(outbox: SqlOutbox, engine: Engine, statement: str) -> None:
    """The record of what a customer was sent must not change."""
    accepted(outbox)

    with pytest.raises(DBAPIError, match="never changed"), tampering(engine, triggers=True) as connection:
        connection.execute(text(statement))


def test_an_overdue_batch_without_a_worker_is_ordered_again_once(outbox: SqlOutbox, engine: Engine) -> None:
    """Its order was lost, or the worker of a run without an order died; the next sweep must not add another."""
    lost, alive = accepted(outbox), accepted(outbox)
    accepted(outbox, send_at=NOW + timedelta(hours=2))
    sweep = NOW + timedelta(minutes=20)
    SqlDispatch(engine).work_on(alive.batch_id, now=NOW + timedelta(minutes=19))

    assert outbox.remind(before=sweep - timedelta(minutes=15), limit=10, now=sweep) == [lost.batch_id]
    assert outbox.remind(before=sweep - timedelta(minutes=10), limit=10, now=sweep) == []


def test_a_batch_with_nothing_left_to_send_is_not_ordered_again(outbox: SqlOutbox, engine: Engine) -> None:
    """Most batches are complete: a run for each would be endless noise."""
    batch_id = accepted(outbox).batch_id
    SqlDispatch(engine).claim(batch_id, most=100, provider="ses", now=NOW)

    assert outbox.remind(before=NOW + timedelta(hours=1), limit=10, now=NOW + timedelta(hours=1)) == []


@pytest.mark.parametrize("whole_tenant", [False, True])
def test_a_batch_that_a_breaker_stopped_is_not_ordered_again(
    outbox: SqlOutbox, engine: Engine, whole_tenant: bool
) -> None:
    """A person decides about it; each sweep would add a run that stops at once."""
    batch_id = accepted(outbox).batch_id
    opened = text(
        "insert into breaker (id, tenant, batch_id, trip, sent, bounced, complained, runs, opened_at)"
        " values (gen_random_uuid(), 'acme', :batch_id, 'bounces', 100, 20, 0, '{}', :now)"
    )
    with engine.begin() as connection:
        connection.execute(opened, {"batch_id": None if whole_tenant else batch_id, "now": NOW})

    assert outbox.remind(before=NOW + timedelta(hours=1), limit=10, now=NOW + timedelta(hours=1)) == []

    with engine.begin() as connection:
        connection.execute(text("update breaker set closed_at = :now, closed_by = 'ada'"), {"now": NOW})

    assert outbox.remind(before=NOW + timedelta(hours=1), limit=10, now=NOW + timedelta(hours=1)) == [batch_id]
