"""The listener between a queue, the real ledger and stand-ins for Prefect: each mail one run, acknowledged last."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled, Cancelling, Completed, Crashed, Failed, Pending, Running, Scheduled
from sqlalchemy import Engine, text
from sqlmodel import Session

from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.inbox.filing import SqlInbox
from mailroom.adapters.postgres.models import DepositRow
from mailroom.adapters.postgres.tenants.directory import SqlDirectory
from mailroom.domain.errors import Reason
from mailroom.domain.inbound import received_email as inbound
from mailroom.domain.inbound.received_email import Arrival, Item
from mailroom.domain.inbound.routing import Address
from mailroom.ports.ledger import Lease
from tests.support.inbound_listener import PATIENT, QUICK, Desk, from_s3, from_ses, holds, ref

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


@pytest.fixture
def inbound_setup(engine: Engine) -> Desk:
    return Desk(SqlLedger(engine))


@pytest.mark.parametrize("first", ["S3", "SES"])
def test_both_notices_of_a_mail_are_one_run_and_both_are_deleted(inbound_setup: Desk, first: str) -> None:
    """S3 and SES announce each mail in any order; the run starts at once where both came together."""
    for body in sorted([from_s3(), from_ses()], reverse=first == "SES"):
        inbound_setup.queue.send(body)

    inbound_setup.listen(inbound_setup.empty, PATIENT)

    assert inbound_setup.runs.asked == [ref()]
    assert inbound_setup.executor.ran == ["abc123"]
    assert inbound_setup.entry().envelope is not None


def test_a_bucket_notice_waits_for_the_envelope(inbound_setup: Desk) -> None:
    """SES's notification comes moments later; without it the recipients would have to be guessed."""
    inbound_setup.queue.clock = time.monotonic
    inbound_setup.queue.send(from_s3())
    inbound_setup.queue.send(from_ses(), delay_s=0.1)

    inbound_setup.listen(inbound_setup.empty, PATIENT)

    assert inbound_setup.executor.ran == ["abc123"]
    envelope = inbound_setup.entry().envelope
    assert envelope is not None
    assert envelope.recipients == ("anna@acme.test",)


def test_a_bucket_notice_alone_runs_after_the_grace(inbound_setup: Desk) -> None:
    """A lost notification must not lose the mail; its own headers may name the recipient."""
    inbound_setup.queue.send(from_s3())
    began_at = time.monotonic()

    inbound_setup.listen(lambda: bool(inbound_setup.executor.ran), replace(QUICK, notice_grace_s=0.2))

    assert time.monotonic() - began_at >= 0.2
    assert inbound_setup.executor.ran == ["abc123"]
    assert inbound_setup.empty()
    assert inbound_setup.entry().envelope is None


def test_an_envelope_that_comes_during_the_run_is_in_the_ledger(inbound_setup: Desk) -> None:
    """Its message is deleted with the mail's, so this is the last chance to keep recipients for a replay."""

    async def notified_meanwhile(run: FlowRun) -> State | None:
        if len(inbound_setup.executor.ran) == 1:
            inbound_setup.queue.send(from_ses())
            await holds(lambda: all(one.receipt_handle for one in inbound_setup.queue._messages.values()))
            await asyncio.sleep(0.02)
        return Completed()

    inbound_setup.executor.ending = notified_meanwhile
    inbound_setup.queue.send(from_s3())

    inbound_setup.listen(lambda: inbound_setup.empty() and bool(inbound_setup.executor.ran))

    assert inbound_setup.entry().envelope is not None


def test_a_notice_that_comes_while_no_object_is_found_starts_another_run(inbound_setup: Desk) -> None:
    """The object may have come with it: acknowledged with the first notification, the mail would stay in quarantine."""

    async def gone_at_first(run: FlowRun) -> State | None:
        inbound_setup.ledger.begin(ref(), now=datetime.now(UTC))
        found = len(inbound_setup.executor.ran) > 1
        end, reason = (inbound.State.FILED, None) if found else (inbound.State.QUARANTINED, Reason.GONE)
        inbound_setup.ledger.close(inbound_setup.entry().id, end, now=datetime.now(UTC), reason=reason)
        if not found:
            inbound_setup.queue.send(from_s3())
            await holds(lambda: all(one.receipt_handle for one in inbound_setup.queue._messages.values()))
            await asyncio.sleep(0.02)
        return Completed() if found else Failed()

    inbound_setup.executor.ending = gone_at_first
    inbound_setup.queue.send(from_ses())

    inbound_setup.listen(inbound_setup.empty)

    assert inbound_setup.executor.ran == ["abc123", "abc123"]
    assert inbound_setup.entry().state is inbound.State.FILED


def test_a_completed_run_of_an_open_entry_runs_again_before_its_mail_is_acknowledged(inbound_setup: Desk) -> None:
    """A restored database lacks what the run did: trusting Prefect's Completed deleted mails that were filed nowhere."""
    waiting: list[int] = []

    async def again(run: FlowRun) -> State | None:
        await asyncio.sleep(0.1)  # slower than deletes are gathered
        waiting.append(len(inbound_setup.queue))
        return Completed()

    inbound_setup.executor.ending = again
    inbound_setup.runs.state = Completed()
    inbound_setup.queue.send(from_ses())

    inbound_setup.listen(inbound_setup.empty)

    assert (inbound_setup.executor.ran, waiting) == (["abc123"], [1])
    assert inbound_setup.entry().state is inbound.State.FILED


def test_a_completed_run_that_filed_nothing_is_not_acknowledged(inbound_setup: Desk) -> None:
    """The ledger alone decides when a mail is done, not the run's state; until then its messages come back."""
    inbound_setup.executor.files = False
    inbound_setup.queue.send(from_ses())

    inbound_setup.listen(inbound_setup.left(30))

    assert inbound_setup.executor.ran == ["abc123"]
    assert inbound_setup.came_back(after_s=30) == [(from_ses(), 2)]


def test_a_filed_mail_is_acknowledged_without_asking_prefect(inbound_setup: Desk) -> None:
    """Redelivery of a finished mail should cost one read of the ledger."""
    entry = inbound_setup.ledger.begin(ref(), now=datetime.now(UTC))
    inbound_setup.ledger.close(entry.id, inbound.State.FILED, now=datetime.now(UTC))
    inbound_setup.queue.send(from_s3())

    inbound_setup.listen(inbound_setup.empty)

    assert inbound_setup.runs.asked == inbound_setup.runs.settled == []


@pytest.mark.parametrize("broken", [False, True], ids=["Prefect answers", "Prefect is away"])
def test_a_message_that_comes_back_for_a_filed_mail_has_its_run_settled(inbound_setup: Desk, broken: bool) -> None:
    """Its worker may have stopped before it reported the run's end, and nothing else would ever end it."""
    entry = inbound_setup.ledger.begin(ref(), now=datetime.now(UTC))
    inbound_setup.queue.send(from_s3())
    [message] = inbound_setup.queue.receive(most=1, wait_s=0)
    inbound_setup.queue.hide([message.receipt_handle], seconds=0)
    inbound_setup.ledger.close(entry.id, inbound.State.FILED, now=datetime.now(UTC))
    inbound_setup.runs.broken = broken

    inbound_setup.listen(inbound_setup.empty)

    assert inbound_setup.runs.settled == [ref()]
    assert inbound_setup.runs.asked == []


def test_a_notification_after_the_mail_was_filed_without_it_runs_it_again(inbound_setup: Desk) -> None:
    """It may name more recipients than the headers did, and the verdicts; the completed run goes on once more."""
    entry = inbound_setup.ledger.begin(ref(), now=datetime.now(UTC))
    inbound_setup.ledger.close(entry.id, inbound.State.FILED, now=datetime.now(UTC))
    inbound_setup.runs.state = Completed()
    inbound_setup.queue.send(from_ses())

    inbound_setup.listen(inbound_setup.empty)

    assert inbound_setup.executor.ran == ["abc123"]


def test_a_mail_of_unknown_recipients_is_run_again_when_its_notification_comes(inbound_setup: Desk) -> None:
    """It was quarantined and its run Failed, and its messages were deleted: only the notification names its recipients."""

    async def by_the_envelope(run: FlowRun) -> State | None:
        entry = inbound_setup.ledger.begin(ref(), now=datetime.now(UTC))
        known = entry.envelope is not None
        end, reason = (inbound.State.FILED, None) if known else (inbound.State.QUARANTINED, Reason.RECIPIENTS_UNKNOWN)
        inbound_setup.ledger.close(entry.id, end, now=datetime.now(UTC), reason=reason)
        inbound_setup.runs.state = Completed() if known else Failed()
        return inbound_setup.runs.state

    inbound_setup.executor.ending = by_the_envelope
    inbound_setup.queue.send(from_s3())
    inbound_setup.listen(inbound_setup.empty)
    quarantined = inbound_setup.entry()
    inbound_setup.queue.send(from_ses())

    inbound_setup.listen(inbound_setup.empty)

    assert (quarantined.state, quarantined.envelope) == (inbound.State.QUARANTINED, None)
    assert inbound_setup.executor.ran == ["abc123", "abc123"]
    entry = inbound_setup.entry()
    assert (entry.state, entry.envelope is not None) == (inbound.State.FILED, True)


def test_ten_thousand_notices_of_one_object_are_one_item(inbound_setup: Desk, engine: Engine) -> None:
    """Bad input E61: some come before its run ends and the most after it; the mail is run and filed once."""
    inbox = SqlInbox(engine)
    place = {"bucket": "archive", "key": "k", "version": "v1", "lock_mode": "GOVERNANCE"}
    raw = DepositRow(archive_id="raw-1", tenant="acme", sha256="0", size=5, retain_until=NOW, deposited_at=NOW, **place)
    SqlDirectory(engine).add(Address("anna@acme.test", "acme", "anna"))
    with Session(engine) as session:
        session.add(raw)
        session.commit()
    item = Item("acme", "anna@acme.test", "anna", "1@x", "hello", "b@x.test", (), (), None, "hi", None, "raw-1", ())

    async def filed(run: FlowRun) -> State | None:
        await holds(lambda: sum(bool(one.receive_count) for one in inbound_setup.queue._messages.values()) >= 100)
        entry = inbound_setup.entry(run.name)
        inbox.file(entry.id, [item], now=NOW)
        inbound_setup.ledger.close(entry.id, inbound.State.FILED, now=datetime.now(UTC))
        return Completed()

    inbound_setup.executor.ending = filed
    inbound_setup.queue.post([from_s3(), from_ses()] * 5_000)

    inbound_setup.listen(inbound_setup.empty, PATIENT)

    assert inbound_setup.executor.ran == ["abc123"]
    with engine.connect() as connection:
        assert connection.execute(text("select count(*) from inbound_email")).scalar() == 1
        assert connection.execute(text("select count(*) from inbox_item")).scalar() == 1


@pytest.mark.parametrize("state", [Pending(), Running(), Failed(), Crashed()], ids=lambda state: state.name)
def test_a_run_that_a_dead_worker_left_is_run(inbound_setup: Desk, state: State) -> None:
    """The lease says that no living worker has the mail, whatever state Prefect still shows."""
    inbound_setup.runs.state = state
    inbound_setup.queue.send(from_ses())

    inbound_setup.listen(inbound_setup.empty)

    assert inbound_setup.executor.ran == ["abc123"]


@pytest.mark.parametrize("state", [Cancelling(), Cancelled()], ids=lambda state: state.name)
def test_a_run_that_a_person_cancelled_is_noted_and_acknowledged(inbound_setup: Desk, state: State) -> None:
    """It is a decision: the mail must neither run again by itself nor end as a dead letter; a replay brings it back."""
    inbound_setup.runs.state = state
    inbound_setup.queue.send(from_ses())

    inbound_setup.listen(inbound_setup.empty)

    assert inbound_setup.executor.ran == []
    assert (inbound_setup.entry().state, inbound_setup.entry().reason) == (inbound.State.FAILED, "cancelled")
    [kept] = inbound_setup.manifests.kept
    assert (kept.tenant, kept.envelope, kept.reason) == ("unrouted", inbound_setup.entry().envelope, "cancelled")


def test_a_run_that_is_not_ours_is_left_and_its_message_comes_back(inbound_setup: Desk) -> None:
    """The pool's worker will run what a person retried; the message stays in case it does not."""
    inbound_setup.runs.state = Scheduled()
    inbound_setup.queue.send(from_ses())

    inbound_setup.listen(inbound_setup.left(60))

    assert inbound_setup.executor.ran == []
    assert inbound_setup.came_back(after_s=59) == []
    assert inbound_setup.came_back(after_s=1) == [(from_ses(), 2)]


def test_a_failed_run_of_a_quarantined_mail_is_acknowledged(inbound_setup: Desk) -> None:
    """Quarantine is an end: the mail is kept and visible, and repeating it would change nothing."""
    inbound_setup.ends(Failed(), inbound.State.QUARANTINED, Reason.NO_ROUTE)
    inbound_setup.queue.send(from_ses())

    inbound_setup.listen(inbound_setup.empty)

    assert inbound_setup.executor.ran == ["abc123"]
    assert inbound_setup.queue.hidden_for == []


@pytest.mark.parametrize("ending", [Failed(), Crashed(), None], ids=["failed", "crashed", "not allowed"])
def test_a_failed_run_gives_its_messages_back(inbound_setup: Desk, ending: State | None) -> None:
    """A transient fault outlived its retries; the queue brings the mail back, both notices of it."""
    inbound_setup.ends(ending, inbound.State.FAILED, "TransientError")
    inbound_setup.queue.send(from_s3())
    inbound_setup.queue.send(from_ses())

    inbound_setup.listen(inbound_setup.left(30, messages=2))

    assert inbound_setup.executor.ran == ["abc123"]
    assert inbound_setup.came_back(after_s=29) == []
    assert inbound_setup.came_back(after_s=1) == [(from_s3(), 2), (from_ses(), 2)]


def test_a_fault_of_the_worker_gives_the_message_back_and_is_looked_into(inbound_setup: Desk) -> None:
    """The loop outlives any fault of one mail; a fault may be an outage's first sign, so health is checked."""
    ends = {"good": (0, Completed()), "bad": ("no number", None)}  # sleep raises TypeError
    inbound_setup.executor.ending = lambda run: asyncio.sleep(*ends[run.name])
    inbound_setup.queue.send(from_ses("bad"))
    inbound_setup.queue.send(from_ses("good"))

    inbound_setup.listen(lambda: inbound_setup.left(30)() and len(inbound_setup.queue) == 1)

    assert inbound_setup.health.suspicions == 1
    assert inbound_setup.came_back(after_s=30) == [(from_ses("bad"), 2)]


def test_a_mail_that_a_living_worker_has_leased_is_left_alone(inbound_setup: Desk) -> None:
    """Redelivery while another worker runs the mail must not run it twice."""
    now = datetime.now(UTC)
    assert inbound_setup.ledger.register(Arrival(ref()), now=now, claim=Lease("another", now - timedelta(seconds=45)))
    inbound_setup.queue.send(from_ses())

    inbound_setup.listen(inbound_setup.left(60))

    assert (inbound_setup.runs.asked, inbound_setup.executor.ran) == ([], [])
    assert inbound_setup.came_back(after_s=60) == [(from_ses(), 2)]


def test_an_unreadable_message_stays_and_does_not_stop_its_neighbours(inbound_setup: Desk) -> None:
    """It goes to the dead letters by its receive count, where a person sees it; deleting it would hide a mail."""
    for body in ("{}", from_ses("one"), "no JSON", from_ses("two")):
        inbound_setup.queue.send(body)

    inbound_setup.listen(lambda: len(inbound_setup.queue) == 2)

    assert sorted(inbound_setup.executor.ran) == ["one", "two"]
    assert inbound_setup.queue.hidden_for == []
    assert inbound_setup.came_back(after_s=45) == [("{}", 2), ("no JSON", 2)]


def test_test_events_are_deleted(inbound_setup: Desk) -> None:
    """AWS sends one for each wiring; left in the queue they would end as dead letters and raise an alarm."""
    inbound_setup.queue.send('{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"mails"}')
    inbound_setup.queue.send(from_ses("AMAZON_SES_SETUP_NOTIFICATION"))

    inbound_setup.listen(inbound_setup.empty)

    assert inbound_setup.runs.asked == []


def test_a_message_of_two_mails_stays_until_both_are_done(inbound_setup: Desk) -> None:
    """S3 promises no single record; the message is the only thing that brings the failed one back."""
    ends = {"good": (0, Completed()), "bad": (0.15, Failed())}  # slower than deletes are gathered
    inbound_setup.executor.ending = lambda run: asyncio.sleep(*ends[run.name])
    inbound_setup.queue.send(from_s3("good", "bad"))

    inbound_setup.listen(
        lambda: len(inbound_setup.executor.ran) == 2 and (inbound_setup.empty() or inbound_setup.left(30)())
    )

    assert inbound_setup.queue.bodies == [from_s3("good", "bad")]
