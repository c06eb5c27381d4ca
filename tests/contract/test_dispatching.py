"""Sending on PostgreSQL: the status of a batch's messages for each response of a provider, or none."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.delivery.unsubscribe import OURS
from mailroom.domain.errors import (
    DailyQuota,
    MailroomError,
    OutcomeUnknown,
    Paused,
    Refused,
    Throttled,
    TransientError,
)
from mailroom.domain.outbound.message import Lane, ResendPolicy, Status, StoredAttachment
from mailroom.outbound.dispatch_result import DispatchResult
from mailroom.outbound.dispatching import Sender
from mailroom.outbound.unknown_outcomes import settle_unknown
from mailroom.ports.provider import Capabilities, ProviderQuota, ProviderReceipt
from mailroom.ports.rate import Permit
from mailroom.testing.provider import MemoryProvider
from tests.support.sending import CONTENT, Office, office_on

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


@pytest.fixture
def outbound_side(engine: Engine) -> Iterator[Office]:
    with office_on(engine) as made:
        yield made


def sender(outbound_side: Office, batch_id: str, now: datetime = NOW) -> Sender:
    return Sender(batch_id, Lane.BULK, outbound_side.outbound, clock=lambda: now)


def sent(outbound_side: Office, batch_id: str, now: datetime = NOW) -> DispatchResult:
    return sender(outbound_side, batch_id, now).send_some(100)


def test_every_message_of_a_batch_is_sent_once(outbound_side: Office) -> None:
    """As many at a time as there are permits, and on its lane."""
    batch_id = outbound_side.batch(25, now=NOW)

    tally = sent(outbound_side, batch_id)

    assert (tally.dispatched, tally.over, tally.failures) == (25, True, [])
    assert sorted(outbound_side.provider.accepted) == sorted(set(outbound_side.provider.accepted))
    assert outbound_side.statuses() == [Status.DISPATCHED] * 25
    assert set(outbound_side.rate.lanes) == {Lane.BULK}


def test_nothing_is_sending_while_it_waits_for_permits(outbound_side: Office) -> None:
    """A worker that is killed while it waits leaves nothing unknown."""
    batch_id = outbound_side.batch(3, now=NOW)
    seen: list[list[str]] = []
    wait = outbound_side.rate.wait

    def look(mails: int, **lane: Any) -> list[Permit]:
        seen.append(outbound_side.statuses())
        return wait(mails, **lane)

    outbound_side.outbound.rate.wait = look  # type: ignore[method-assign]
    outbound_side.rate.permit = 2

    sent(outbound_side, batch_id)

    assert all(Status.SENDING not in statuses for statuses in seen)
    assert len(seen) == 3


def test_a_lost_answer_is_unknown_and_not_tried_again(outbound_side: Office) -> None:
    """The provider may have the mail."""
    batch_id = outbound_side.batch(3, now=NOW)
    outbound_side.provider.answers.extend([None, OutcomeUnknown("lost", provider="memory")])

    tally = sent(outbound_side, batch_id)
    sent(outbound_side, batch_id, NOW + timedelta(days=1))

    assert [failure.kind for failure in tally.failures] == ["OutcomeUnknown"]
    assert sorted(outbound_side.statuses()) == sorted([Status.DISPATCHED, Status.UNKNOWN, Status.DISPATCHED])
    assert len(outbound_side.provider.accepted) == 3


def test_a_provider_that_raises_may_have_sent(outbound_side: Office) -> None:
    """It broke its contract; the mails of that call are unknown, and the others are sent."""

    class Broken(MemoryProvider):
        def send(self, mails: Any) -> list[ProviderReceipt | MailroomError]:
            raise RuntimeError("anna@users.test")

    outbound_side.outbound.provider = Broken()
    batch_id = outbound_side.batch(2, now=NOW)

    tally = sent(outbound_side, batch_id)

    assert outbound_side.statuses() == [Status.UNKNOWN] * 2
    assert "anna" not in str(tally)


def test_a_refused_recipient_does_not_affect_others(outbound_side: Office) -> None:
    """The result of the run has the message's id and the code."""
    batch_id = outbound_side.batch(3, now=NOW)
    outbound_side.provider.answers.extend([Refused("no such recipient", code=550)])

    tally = sent(outbound_side, batch_id)

    assert [(failure.kind, failure.code) for failure in tally.failures] == [("Refused", "550")]
    assert sorted(outbound_side.statuses()) == sorted([Status.REJECTED, Status.DISPATCHED, Status.DISPATCHED])


def test_a_mail_whose_file_is_gone_fails_before_anybody_is_called(outbound_side: Office) -> None:
    """Rendering it again would not bring the file back."""
    gone = StoredAttachment(filename="a.pdf", content_type="application/pdf", size=1, sha256="0" * 64)
    batch_id = outbound_side.batch(2, now=NOW, content=replace(CONTENT, enclosures=(gone,)))

    sent(outbound_side, batch_id)

    assert outbound_side.statuses() == [Status.FAILED] * 2
    assert outbound_side.provider.accepted == []


def test_throttling_is_a_pause_and_then_sending_continues(outbound_side: Office) -> None:
    """As long as the provider asks for; a throttled message is neither lost nor unknown."""
    batch_id = outbound_side.batch(3, now=NOW)
    outbound_side.provider.answers.extend([Throttled("slow down", retry_after_s=12)] * 3)

    tally = sent(outbound_side, batch_id)
    after = sent(outbound_side, batch_id, NOW + timedelta(seconds=13))

    assert (tally.pause_s, tally.again, tally.resume_at) == (12, 3, None)
    assert after.dispatched == 3
    assert len(outbound_side.provider.accepted) == 3


@pytest.mark.parametrize(
    ("error", "reason", "hold"),
    [
        (DailyQuota("used up"), "daily_quota", timedelta(hours=1)),
        (Paused("stopped"), "paused", timedelta(minutes=15)),
        (Throttled("slow down", retry_after_s=600), "provider_slow_or_away", timedelta(minutes=10)),
    ],
)
def test_what_cannot_go_for_long_is_put_off_with_one_order(
    outbound_side: Office, error: MailroomError, reason: str, hold: timedelta
) -> None:
    """No run sleeps for an hour, nothing is dropped, and the rest of the batch is sent in time."""
    batch_id = outbound_side.batch(15, now=NOW)
    outbound_side.provider.answers.extend([None, *[error] * 9])

    tally = sent(outbound_side, batch_id)

    assert (tally.dispatched, tally.resume_at, tally.reason) == (1, NOW + hold, reason)
    assert set(outbound_side.orders()) == {NOW + hold}
    assert outbound_side.values("select distinct due_at from message where status <> 'dispatched'") == [NOW + hold]
    assert sent(outbound_side, batch_id, NOW + hold).dispatched == 14


@pytest.mark.parametrize(
    "quota", [ProviderQuota(per_day=200, sent_today=200), ProviderQuota(per_second=14, paused=True)]
)
def test_a_used_up_quota_is_known_before_sending(outbound_side: Office, quota: ProviderQuota) -> None:
    """No call has to be refused first."""
    batch_id = outbound_side.batch(3, now=NOW)
    outbound_side.provider.allowed = quota

    tally = sent(outbound_side, batch_id)

    assert tally.resume_at is not None
    assert outbound_side.statuses() == [Status.DEFERRED] * 3
    assert outbound_side.rate.lanes == []


@pytest.mark.parametrize(("mails", "arms"), [(300, 1), (500, 2)])
def test_an_outage_defers_the_batch_after_some_attempts(outbound_side: Office, mails: int, arms: int) -> None:
    """Each pause is longer than the one before; a batch of thousands does not try each message."""
    batch_id = outbound_side.batch(mails, now=NOW)
    outbound_side.provider.answers.extend([TransientError("no connection")] * mails)
    sending = sender(outbound_side, batch_id)

    tallies = [sending.send_some(mails) for _ in range(6)]

    assert [bool(tally.pause_s) for tally in tallies] == [True] * 5 + [False]
    assert tallies[-1].resume_at == NOW + timedelta(minutes=5)
    assert 60 <= sum(tally.again for tally in tallies) <= arms * 60


def test_a_batch_that_is_cancelled_stops_where_it_is(outbound_side: Office) -> None:
    """The run finds no due messages any more."""

    batch_id = outbound_side.batch(20, now=NOW)
    send = outbound_side.provider.send

    def cancel_then_send(mails: Any) -> list[ProviderReceipt | MailroomError]:
        SqlOutbox(outbound_side.engine).cancel("acme", batch_id, now=NOW)
        return send(mails)

    outbound_side.provider.send = cancel_then_send  # type: ignore[method-assign]

    tally = sent(outbound_side, batch_id)

    assert (tally.dispatched, tally.over) == (10, True)
    assert outbound_side.statuses() == [Status.DISPATCHED] * 10 + [Status.CANCELLED] * 10


def test_a_missing_permit_is_requested_again(outbound_side: Office) -> None:
    """An operator stopped the provider for a moment."""
    batch_id = outbound_side.batch(1, now=NOW)
    outbound_side.rate.none = 3

    assert sent(outbound_side, batch_id).dispatched == 1


def test_both_sender_threads_of_a_large_batch_send_each_message_once(outbound_side: Office) -> None:
    """One claims and settles while the other sends."""
    batch_id = outbound_side.batch(400, now=NOW)
    sending = sender(outbound_side, batch_id)

    tallies = [sending.send_some(400)]
    while not tallies[-1].over:
        tallies.append(sending.send_some(400))

    assert sum(tally.dispatched for tally in tallies) == 400
    assert len(outbound_side.provider.accepted) == len(set(outbound_side.provider.accepted)) == 400
    assert outbound_side.statuses() == [Status.DISPATCHED] * 400


def test_every_permit_is_released_whatever_the_outcome(outbound_side: Office) -> None:
    """A permit that is kept is missing from the rate of all batches."""
    batch_id = outbound_side.batch(15, now=NOW)
    outbound_side.provider.answers.extend([Refused("no"), OutcomeUnknown("lost"), Throttled("slow")])

    sent(outbound_side, batch_id)

    assert outbound_side.rate.out == 0


def test_a_process_that_was_frozen_sends_nothing_when_it_resumes(outbound_side: Office) -> None:
    """Its permits have expired by then, and its messages may be another worker's."""
    outbound_side.batch(2, now=NOW)
    outbound_side.outbound.rate.wait = lambda mails, **_: [Permit(at=0.0, until=0.0)] * mails  # type: ignore[method-assign]

    tally = sent(outbound_side, outbound_side.values("select id::text from batch")[0])

    assert (outbound_side.provider.mails, tally.again) == ([], 2)
    assert outbound_side.statuses() == [Status.QUEUED] * 2


def test_expired_permits_are_not_counted_as_an_outage(outbound_side: Office) -> None:
    """Six of them in a row are no outage: the batch continues as soon as there are valid permits."""
    batch_id = outbound_side.batch(2, now=NOW)
    minutes, wait = [0], outbound_side.outbound.rate.wait
    sending = Sender(batch_id, Lane.BULK, outbound_side.outbound, clock=lambda: NOW + timedelta(minutes=minutes[0]))

    def send() -> DispatchResult:
        minutes[0] += 1
        return sending.send_some(2)

    outbound_side.outbound.rate.wait = lambda mails, **_: [Permit(at=0.0, until=0.0)] * mails  # type: ignore[method-assign]
    late = [send() for _ in range(7)]
    outbound_side.outbound.rate.wait = wait  # type: ignore[method-assign]
    tally = send()

    assert {(one.again, one.pause_s, one.resume_at) for one in late} == {(2, 1.0, None)}
    assert tally.dispatched == 2


def stranded(outbound_side: Office, count: int = 2, **changes: Any) -> str:
    """Return a batch that a killed worker was sending."""
    batch_id = outbound_side.batch(count, now=NOW, **changes)
    outbound_side.outbound.dispatch.claim(batch_id, most=count, provider=outbound_side.outbound.provider.name, now=NOW)
    return batch_id


def test_the_provider_is_asked_about_messages_of_a_dead_worker(outbound_side: Office) -> None:
    """What the provider has is dispatched; what it never got is ordered and sent again."""
    batch_id = stranded(outbound_side)
    [has, has_not] = outbound_side.values("select id::text from message order by number")
    outbound_side.provider.accepted.append(has)

    found = settle_unknown(outbound_side.outbound, now=NOW + timedelta(minutes=3))

    assert found == (2, 2)
    assert outbound_side.statuses() == [Status.DISPATCHED, Status.QUEUED]
    assert outbound_side.orders() == [NOW + timedelta(minutes=3)]
    assert sent(outbound_side, batch_id, NOW + timedelta(minutes=3)).dispatched == 1
    assert outbound_side.provider.accepted == [has, has_not]


def test_nothing_is_stranded_that_a_living_worker_may_have(outbound_side: Office) -> None:
    """A call to a provider may take a minute."""
    stranded(outbound_side)

    assert settle_unknown(outbound_side.outbound, now=NOW + timedelta(minutes=1)) == (0, 0)
    assert outbound_side.statuses() == [Status.SENDING] * 2


@pytest.mark.parametrize(
    ("policy", "late", "status"),
    [
        (ResendPolicy.PREFER_NO_DUPLICATE, timedelta(days=2), Status.UNKNOWN),
        (ResendPolicy.PREFER_DELIVERY, timedelta(minutes=50), Status.UNKNOWN),
        (ResendPolicy.PREFER_DELIVERY, timedelta(minutes=70), Status.QUEUED),
    ],
)
def test_the_policy_decides_where_the_provider_cannot_be_asked(
    outbound_side: Office, policy: ResendPolicy, late: timedelta, status: Status
) -> None:
    """Twice or perhaps not at all: the caller said which is worse."""
    outbound_side.outbound.provider = MemoryProvider(capabilities=Capabilities(asks=False))
    stranded(outbound_side, policy=policy)

    settle_unknown(outbound_side.outbound, now=NOW + late)

    assert outbound_side.statuses() == [status] * 2


def test_another_provider_is_not_asked_for_a_mail_that_it_never_had(outbound_side: Office) -> None:
    """It would answer that it never got it, and the mail would be sent twice."""
    stranded(outbound_side)
    outbound_side.outbound.names = frozenset({"postmark"})

    settle_unknown(outbound_side.outbound, now=NOW + timedelta(minutes=3))

    assert outbound_side.statuses() == [Status.UNKNOWN] * 2


def test_the_fallback_provider_that_took_a_mail_is_recorded(outbound_side: Office) -> None:
    """Its events come under its own name."""
    batch_id = outbound_side.batch(2, now=NOW)

    class Second(MemoryProvider):
        def send(self, mails: Any) -> list[ProviderReceipt | MailroomError]:
            return [ProviderReceipt("second", "s-1"), OutcomeUnknown("lost", provider="second")]

    outbound_side.outbound.provider = Second("first")

    sent(outbound_side, batch_id)

    assert outbound_side.values("select provider from message") == ["second", "second"]


def test_a_mail_with_our_unsubscribe_link_has_a_link_of_its_own(outbound_side: Office) -> None:
    """A click unsubscribes the recipient of this very message."""
    outbound_side.outbound.leave_url = "https://mail.acme.test/u/{}".format
    outbound_side.batch(2, now=NOW, content=replace(CONTENT, unsubscribe=OURS))

    sent(outbound_side, outbound_side.values("select id::text from batch")[0])

    assert {mail.unsubscribe for mail in outbound_side.provider.mails} == {
        f"https://mail.acme.test/u/{mail.id}" for mail in outbound_side.provider.mails
    }
    assert len(outbound_side.provider.mails) == 2


def test_without_links_of_our_own_a_mail_that_wants_one_fails_before_it_leaves(outbound_side: Office) -> None:
    """A newsletter without an unsubscribe link must not be sent; the key may be gone since the batch was submitted."""
    batch_id = outbound_side.batch(1, now=NOW, content=replace(CONTENT, unsubscribe=OURS))

    tally = sent(outbound_side, batch_id)

    assert (outbound_side.provider.mails, len(tally.failures)) == ([], 1)
    assert outbound_side.statuses() == [Status.FAILED]
