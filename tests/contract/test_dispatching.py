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
from mailroom.outbound.dispatching import DispatchResult, Sender
from mailroom.outbound.unknown_outcomes import settle_unknown
from mailroom.ports.provider import Capabilities, ProviderQuota, ProviderReceipt
from mailroom.ports.rate import Permit
from mailroom.testing.provider import MemoryProvider
from tests.support.sending import CONTENT, Office, office_on

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


@pytest.fixture
def office(engine: Engine) -> Iterator[Office]:
    with office_on(engine) as made:
        yield made


def sender(office: Office, batch_id: str, now: datetime = NOW) -> Sender:
    return Sender(batch_id, Lane.BULK, office.outbound, clock=lambda: now)


def sent(office: Office, batch_id: str, now: datetime = NOW) -> DispatchResult:
    return sender(office, batch_id, now).send_some(100)


def test_every_message_of_a_batch_is_sent_once(office: Office) -> None:
    """As many at a time as there are permits, and on its lane."""
    batch_id = office.batch(25, now=NOW)

    tally = sent(office, batch_id)

    assert (tally.dispatched, tally.over, tally.failures) == (25, True, [])
    assert sorted(office.provider.accepted) == sorted(set(office.provider.accepted))
    assert office.statuses() == [Status.DISPATCHED] * 25
    assert set(office.rate.lanes) == {Lane.BULK}


def test_nothing_is_sending_while_it_waits_for_permits(office: Office) -> None:
    """A worker that is killed while it waits leaves nothing unknown."""
    batch_id = office.batch(3, now=NOW)
    seen: list[list[str]] = []
    wait = office.rate.wait

    def look(mails: int, **lane: Any) -> list[Permit]:
        seen.append(office.statuses())
        return wait(mails, **lane)

    office.outbound.rate.wait = look  # type: ignore[method-assign]
    office.rate.permit = 2

    sent(office, batch_id)

    assert all(Status.SENDING not in statuses for statuses in seen)
    assert len(seen) == 3


def test_a_lost_answer_is_unknown_and_not_tried_again(office: Office) -> None:
    """The provider may have the mail."""
    batch_id = office.batch(3, now=NOW)
    office.provider.answers.extend([None, OutcomeUnknown("lost", provider="memory")])

    tally = sent(office, batch_id)
    sent(office, batch_id, NOW + timedelta(days=1))

    assert [failure.kind for failure in tally.failures] == ["OutcomeUnknown"]
    assert sorted(office.statuses()) == sorted([Status.DISPATCHED, Status.UNKNOWN, Status.DISPATCHED])
    assert len(office.provider.accepted) == 3


def test_a_provider_that_raises_may_have_sent(office: Office) -> None:
    """It broke its contract; the mails of that call are unknown, and the others are sent."""

    class Broken(MemoryProvider):
        def send(self, mails: Any) -> list[ProviderReceipt | MailroomError]:
            raise RuntimeError("anna@users.test")

    office.outbound.provider = Broken()
    batch_id = office.batch(2, now=NOW)

    tally = sent(office, batch_id)

    assert office.statuses() == [Status.UNKNOWN] * 2
    assert "anna" not in str(tally)


def test_a_refused_recipient_does_not_affect_others(office: Office) -> None:
    """The result of the run has the message's id and the code."""
    batch_id = office.batch(3, now=NOW)
    office.provider.answers.extend([Refused("no such recipient", code=550)])

    tally = sent(office, batch_id)

    assert [(failure.kind, failure.code) for failure in tally.failures] == [("Refused", "550")]
    assert sorted(office.statuses()) == sorted([Status.REJECTED, Status.DISPATCHED, Status.DISPATCHED])


def test_a_mail_whose_file_is_gone_fails_before_anybody_is_called(office: Office) -> None:
    """Rendering it again would not bring the file back."""
    gone = StoredAttachment(filename="a.pdf", content_type="application/pdf", size=1, sha256="0" * 64)
    batch_id = office.batch(2, now=NOW, content=replace(CONTENT, enclosures=(gone,)))

    sent(office, batch_id)

    assert office.statuses() == [Status.FAILED] * 2
    assert office.provider.accepted == []


def test_throttling_is_a_pause_and_then_sending_continues(office: Office) -> None:
    """As long as the provider asks for; a throttled message is neither lost nor unknown."""
    batch_id = office.batch(3, now=NOW)
    office.provider.answers.extend([Throttled("slow down", retry_after_s=12)] * 3)

    tally = sent(office, batch_id)
    after = sent(office, batch_id, NOW + timedelta(seconds=13))

    assert (tally.pause_s, tally.again, tally.resume_at) == (12, 3, None)
    assert after.dispatched == 3
    assert len(office.provider.accepted) == 3


@pytest.mark.parametrize(
    ("error", "reason", "hold"),
    [
        (DailyQuota("used up"), "daily_quota", timedelta(hours=1)),
        (Paused("stopped"), "paused", timedelta(minutes=15)),
        (Throttled("slow down", retry_after_s=600), "provider_slow_or_away", timedelta(minutes=10)),
    ],
)
def test_what_cannot_go_for_long_is_put_off_with_one_order(
    office: Office, error: MailroomError, reason: str, hold: timedelta
) -> None:
    """No run sleeps for an hour, nothing is dropped, and the rest of the batch is sent in time."""
    batch_id = office.batch(15, now=NOW)
    office.provider.answers.extend([None, *[error] * 9])

    tally = sent(office, batch_id)

    assert (tally.dispatched, tally.resume_at, tally.reason) == (1, NOW + hold, reason)
    assert set(office.orders()) == {NOW + hold}
    assert office.values("select distinct due_at from message where status <> 'dispatched'") == [NOW + hold]
    assert sent(office, batch_id, NOW + hold).dispatched == 14


@pytest.mark.parametrize(
    "quota", [ProviderQuota(per_day=200, sent_today=200), ProviderQuota(per_second=14, paused=True)]
)
def test_a_used_up_quota_is_known_before_sending(office: Office, quota: ProviderQuota) -> None:
    """No call has to be refused first."""
    batch_id = office.batch(3, now=NOW)
    office.provider.allowed = quota

    tally = sent(office, batch_id)

    assert tally.resume_at is not None
    assert office.statuses() == [Status.DEFERRED] * 3
    assert office.rate.lanes == []


@pytest.mark.parametrize(("mails", "arms"), [(300, 1), (500, 2)])
def test_an_outage_defers_the_batch_after_some_attempts(office: Office, mails: int, arms: int) -> None:
    """Each pause is longer than the one before; a batch of thousands does not try each message."""
    batch_id = office.batch(mails, now=NOW)
    office.provider.answers.extend([TransientError("no connection")] * mails)
    sending = sender(office, batch_id)

    tallies = [sending.send_some(mails) for _ in range(6)]

    assert [bool(tally.pause_s) for tally in tallies] == [True] * 5 + [False]
    assert tallies[-1].resume_at == NOW + timedelta(minutes=5)
    assert 60 <= sum(tally.again for tally in tallies) <= arms * 60


def test_a_batch_that_is_cancelled_stops_where_it_is(office: Office) -> None:
    """The run finds no due messages any more."""

    batch_id = office.batch(20, now=NOW)
    send = office.provider.send

    def cancel_then_send(mails: Any) -> list[ProviderReceipt | MailroomError]:
        SqlOutbox(office.engine).cancel("acme", batch_id, now=NOW)
        return send(mails)

    office.provider.send = cancel_then_send  # type: ignore[method-assign]

    tally = sent(office, batch_id)

    assert (tally.dispatched, tally.over) == (10, True)
    assert office.statuses() == [Status.DISPATCHED] * 10 + [Status.CANCELLED] * 10


def test_a_missing_permit_is_requested_again(office: Office) -> None:
    """An operator stopped the provider for a moment."""
    batch_id = office.batch(1, now=NOW)
    office.rate.none = 3

    assert sent(office, batch_id).dispatched == 1


def test_both_sender_threads_of_a_large_batch_send_each_message_once(office: Office) -> None:
    """One claims and settles while the other sends."""
    batch_id = office.batch(400, now=NOW)
    sending = sender(office, batch_id)

    tallies = [sending.send_some(400)]
    while not tallies[-1].over:
        tallies.append(sending.send_some(400))

    assert sum(tally.dispatched for tally in tallies) == 400
    assert len(office.provider.accepted) == len(set(office.provider.accepted)) == 400
    assert office.statuses() == [Status.DISPATCHED] * 400


def test_every_permit_is_released_whatever_the_outcome(office: Office) -> None:
    """A permit that is kept is missing from the rate of all batches."""
    batch_id = office.batch(15, now=NOW)
    office.provider.answers.extend([Refused("no"), OutcomeUnknown("lost"), Throttled("slow")])

    sent(office, batch_id)

    assert office.rate.out == 0


def test_a_process_that_was_frozen_sends_nothing_when_it_resumes(office: Office) -> None:
    """Its permits have expired by then, and its messages may be another worker's."""
    office.batch(2, now=NOW)
    office.outbound.rate.wait = lambda mails, **_: [Permit(at=0.0, until=0.0)] * mails  # type: ignore[method-assign]

    tally = sent(office, office.values("select id::text from batch")[0])

    assert (office.provider.mails, tally.again) == ([], 2)
    assert office.statuses() == [Status.QUEUED] * 2


def test_expired_permits_are_not_counted_as_an_outage(office: Office) -> None:
    """Six of them in a row are no outage: the batch continues as soon as there are valid permits."""
    batch_id = office.batch(2, now=NOW)
    minutes, wait = [0], office.outbound.rate.wait
    sending = Sender(batch_id, Lane.BULK, office.outbound, clock=lambda: NOW + timedelta(minutes=minutes[0]))

    def send() -> DispatchResult:
        minutes[0] += 1
        return sending.send_some(2)

    office.outbound.rate.wait = lambda mails, **_: [Permit(at=0.0, until=0.0)] * mails  # type: ignore[method-assign]
    late = [send() for _ in range(7)]
    office.outbound.rate.wait = wait  # type: ignore[method-assign]
    tally = send()

    assert {(one.again, one.pause_s, one.resume_at) for one in late} == {(2, 1.0, None)}
    assert tally.dispatched == 2


def stranded(office: Office, count: int = 2, **changes: Any) -> str:
    """Return a batch that a killed worker was sending."""
    batch_id = office.batch(count, now=NOW, **changes)
    office.outbound.dispatch.claim(batch_id, most=count, provider=office.outbound.provider.name, now=NOW)
    return batch_id


def test_the_provider_is_asked_about_messages_of_a_dead_worker(office: Office) -> None:
    """What the provider has is dispatched; what it never got is ordered and sent again."""
    batch_id = stranded(office)
    [has, has_not] = office.values("select id::text from message order by number")
    office.provider.accepted.append(has)

    found = settle_unknown(office.outbound, now=NOW + timedelta(minutes=3))

    assert found == (2, 2)
    assert office.statuses() == [Status.DISPATCHED, Status.QUEUED]
    assert office.orders() == [NOW + timedelta(minutes=3)]
    assert sent(office, batch_id, NOW + timedelta(minutes=3)).dispatched == 1
    assert office.provider.accepted == [has, has_not]


def test_nothing_is_stranded_that_a_living_worker_may_have(office: Office) -> None:
    """A call to a provider may take a minute."""
    stranded(office)

    assert settle_unknown(office.outbound, now=NOW + timedelta(minutes=1)) == (0, 0)
    assert office.statuses() == [Status.SENDING] * 2


@pytest.mark.parametrize(
    ("policy", "late", "status"),
    [
        (ResendPolicy.PREFER_NO_DUPLICATE, timedelta(days=2), Status.UNKNOWN),
        (ResendPolicy.PREFER_DELIVERY, timedelta(minutes=50), Status.UNKNOWN),
        (ResendPolicy.PREFER_DELIVERY, timedelta(minutes=70), Status.QUEUED),
    ],
)
def test_the_policy_decides_where_the_provider_cannot_be_asked(
    office: Office, policy: ResendPolicy, late: timedelta, status: Status
) -> None:
    """Twice or perhaps not at all: the caller said which is worse."""
    office.outbound.provider = MemoryProvider(capabilities=Capabilities(asks=False))
    stranded(office, policy=policy)

    settle_unknown(office.outbound, now=NOW + late)

    assert office.statuses() == [status] * 2


def test_another_provider_is_not_asked_for_a_mail_that_it_never_had(office: Office) -> None:
    """It would answer that it never got it, and the mail would be sent twice."""
    stranded(office)
    office.outbound.names = frozenset({"postmark"})

    settle_unknown(office.outbound, now=NOW + timedelta(minutes=3))

    assert office.statuses() == [Status.UNKNOWN] * 2


def test_the_fallback_provider_that_took_a_mail_is_recorded(office: Office) -> None:
    """Its events come under its own name."""
    batch_id = office.batch(2, now=NOW)

    class Second(MemoryProvider):
        def send(self, mails: Any) -> list[ProviderReceipt | MailroomError]:
            return [ProviderReceipt("second", "s-1"), OutcomeUnknown("lost", provider="second")]

    office.outbound.provider = Second("first")

    sent(office, batch_id)

    assert office.values("select provider from message") == ["second", "second"]


def test_a_mail_with_our_unsubscribe_link_has_a_link_of_its_own(office: Office) -> None:
    """A click unsubscribes the recipient of this very message."""
    office.outbound.leave_url = "https://mail.acme.test/u/{}".format
    office.batch(2, now=NOW, content=replace(CONTENT, unsubscribe=OURS))

    sent(office, office.values("select id::text from batch")[0])

    assert {mail.unsubscribe for mail in office.provider.mails} == {
        f"https://mail.acme.test/u/{mail.id}" for mail in office.provider.mails
    }
    assert len(office.provider.mails) == 2


def test_without_links_of_our_own_a_mail_that_wants_one_fails_before_it_leaves(office: Office) -> None:
    """A newsletter without an unsubscribe link must not be sent; the key may be gone since the batch was submitted."""
    batch_id = office.batch(1, now=NOW, content=replace(CONTENT, unsubscribe=OURS))

    tally = sent(office, batch_id)

    assert (office.provider.mails, len(tally.failures)) == ([], 1)
    assert office.statuses() == [Status.FAILED]
