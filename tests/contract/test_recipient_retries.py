"""A recipient's server that takes no mail now, on PostgreSQL and over SMTP: only its message waits, and it is tried by its schedule."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.postgres.outbound.quotas import SqlQuotas
from mailroom.domain.errors import RecipientUnavailable, TransientError
from mailroom.domain.outbound.message import Lane, ResendPolicy, Status
from mailroom.domain.outbound.quotas import Allowance, Period
from mailroom.outbound.dispatch_result import DispatchResult
from mailroom.outbound.dispatching import Sender, send_claimed
from mailroom.outbound.retry_schedule import RecipientSchedule
from mailroom.outbound.unknown_outcomes import settle_unknown
from mailroom.ports.holds import HoldReason
from tests.support.scripted_receiver import NO_DOMAIN, ScriptedReceiver, scripted
from tests.support.sending import Office, office_on

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
#: Two tries five to ten minutes apart, and one more: short enough to walk through.
SHORT = RecipientSchedule(give_up_after=HOUR)
REFUSED = "u1@users.test"


@contextmanager
def smtp_office(engine: Engine, *recipients: str, reply: str = NO_DOMAIN) -> Iterator[tuple[Office, ScriptedReceiver]]:
    """An outbound side whose SMTP server gives this reply for these recipients."""
    with (
        scripted(dict.fromkeys(recipients, reply)) as (receiver, smtp),
        office_on(engine, provider=smtp) as office,
    ):
        yield office, receiver


@pytest.fixture
def office(engine: Engine) -> Iterator[Office]:
    with office_on(engine) as made:
        yield made


def run(office: Office, batch_id: str, now: datetime = NOW) -> DispatchResult:
    """Do what a run does at this time, in as many slices as this machine needs."""
    planned = office.outbound.dispatch.plan(batch_id, now=now)
    sender = Sender(batch_id, Lane.BULK, office.outbound, clock=lambda: now)
    tally = sender.send_some(planned.due)
    while not (tally.over or tally.hold or tally.resume_at):
        more = sender.send_some(planned.due)
        more.dispatched, more.deferred = more.dispatched + tally.dispatched, more.deferred + tally.deferred
        tally = more
    return tally


def next_try(office: Office) -> datetime:
    """Return when the only waiting message is due."""
    [due_at] = office.values("select due_at from message where status = 'deferred'")
    assert isinstance(due_at, datetime)
    return due_at


def reasons(office: Office) -> list[Any]:
    return office.values("select reason from message order by number")


def test_the_batch_is_not_slowed_and_its_run_ends(engine: Engine) -> None:
    """One `450 4.1.2` among sixty: no pause, nothing that the run would wait for, and one order for the next try."""
    with smtp_office(engine, REFUSED) as (office, receiver):
        batch_id = office.batch(60, now=NOW)

        tally = run(office, batch_id)
        planned = office.outbound.dispatch.plan(batch_id, now=NOW)

        assert (tally.dispatched, tally.deferred, tally.pause_s, tally.resume_at) == (59, 1, 0.0, None)
        assert receiver.tried[REFUSED] == 1
        assert (planned.due, planned.deferred, planned.next_at) == (0, 1, None)
        assert planned.deferred_until == next_try(office)
        assert office.orders() == [next_try(office)]
        assert reasons(office).count("recipient_unavailable") == 1


def test_a_recipient_is_tried_once_a_step_and_given_up_at_the_end(engine: Engine) -> None:
    """Counted by the receiver through four days: two workers, runs that are repeated, and sweeps, before and after each time."""
    with smtp_office(engine, REFUSED) as (office, receiver):
        batch_id = office.batch(2, now=NOW)
        outbox, times, now = SqlOutbox(engine), list[datetime](), NOW
        while Status.FAILED not in office.statuses():
            run(office, batch_id, now - MINUTE)
            with ThreadPoolExecutor(2) as workers:
                list(workers.map(lambda _, at=now: run(office, batch_id, at), range(2)))
            outbox.remind(before=now - MINUTE, limit=10, now=now)
            times.append(now)
            assert receiver.tried[REFUSED] == len(times)
            now = next_try(office) if Status.DEFERRED in office.statuses() else now

        [failed] = office.values("select facts from activity where kind = 'failed'")
        assert 17 <= len(times) <= 23
        assert timedelta(days=3, hours=17) < times[-1] - NOW <= 4 * DAY
        assert receiver.tried["u0@users.test"] == 1
        assert (failed["reason"], failed["code"], failed["tries"]) == ("recipient_gave_up", "450", str(len(times)))
        assert reasons(office) == [None, "recipient_gave_up"]


def test_a_recipient_that_takes_the_mail_later_gets_it_once(engine: Engine) -> None:
    """Greylisting: refused at first, accepted at the second try."""
    with smtp_office(engine, REFUSED) as (office, receiver):
        batch_id = office.batch(2, now=NOW)
        run(office, batch_id)
        receiver.replies.clear()

        run(office, batch_id, next_try(office))

        assert office.statuses() == [Status.DISPATCHED] * 2
        assert receiver.recipients.count(REFUSED) == 1


def test_a_batch_whose_recipients_all_refuse_is_no_outage(office: Office) -> None:
    """Rounds of such answers are no failed rounds: each message is tried once, and a few orders serve them all."""
    office.rate.permit = 100
    batch_id = office.batch(300, now=NOW)
    office.provider.answers.extend([RecipientUnavailable("not now", code=450)] * 300)

    tally = run(office, batch_id)

    assert (tally.deferred, tally.pause_s, tally.resume_at, tally.over) == (300, 0.0, None, True)
    assert len(office.orders()) == len(set(office.orders())) <= 3
    assert set(reasons(office)) == {"recipient_unavailable"}


def test_one_recipient_and_a_provider_that_is_away_wait_apart(engine: Engine) -> None:
    """450 for one and 421 for the rest: the batch backs off by the 421, and the one is not tried with it."""
    rest = [f"u{at}@users.test" for at in range(4) if at != 1]
    with smtp_office(engine, *rest, reply="421 4.3.0 try again later") as (office, receiver):
        receiver.replies[REFUSED] = NO_DOMAIN
        batch_id = office.batch(4, now=NOW)
        # One mail a round: a mail behind a 421 is not tried on that connection.
        office.rate.permit = 1
        now = [NOW]
        sender = Sender(batch_id, Lane.BULK, office.outbound, clock=lambda: now[0])
        while receiver.tried[rest[0]] < 4:
            now[0] += timedelta(seconds=max(1.0, sender.send_some(4).pause_s))
        receiver.replies = {REFUSED: NO_DOMAIN}
        office.rate.permit = 100
        now[0] = max(
            now[0], *office.values("select due_at from message where reason is distinct from 'recipient_unavailable'")
        )

        sender.send_some(4)

        assert receiver.tried[REFUSED] == 1
        assert sorted(office.statuses()) == [Status.DEFERRED, *[Status.DISPATCHED] * 3]


def test_a_message_expires_with_its_batch_between_two_tries(engine: Engine) -> None:
    """It is not tried after `expires_at`, an order of its own expires it, and it says that it expired."""
    expires_at = NOW + 12 * MINUTE
    with smtp_office(engine, REFUSED) as (office, receiver):
        batch_id = office.batch(2, now=NOW, expires_at=expires_at)
        run(office, batch_id)
        run(office, batch_id, next_try(office))
        ordered, last = office.orders(), office.outbound.dispatch.plan(batch_id, now=NOW)

        run(office, batch_id, max(ordered))

        assert max(ordered) == expires_at
        assert (last.deferred, last.deferred_until) == (1, None)
        assert receiver.tried[REFUSED] == 2
        assert (office.statuses()[1], reasons(office)[1]) == (Status.EXPIRED, "expired")


def test_a_cancel_between_two_tries_is_final(engine: Engine) -> None:
    """The run of the order that is left finds nothing."""
    with smtp_office(engine, REFUSED) as (office, receiver):
        batch_id = office.batch(2, now=NOW)
        run(office, batch_id)
        due_at = next_try(office)
        SqlOutbox(engine).cancel("acme", batch_id, now=NOW)

        run(office, batch_id, due_at)

        assert receiver.tried[REFUSED] == 1
        assert office.statuses()[1] == Status.CANCELLED


def test_a_cancel_during_the_call_withholds_the_message(office: Office) -> None:
    """Its answer comes after the cancel: the message must not wait again."""
    batch_id = office.batch(1, now=NOW)
    send = office.provider.send

    def cancel_then_refuse(mails: Any) -> Any:
        SqlOutbox(office.engine).cancel("acme", batch_id, now=NOW)
        office.provider.answers.append(RecipientUnavailable("not now"))
        return send(mails)

    office.provider.send = cancel_then_refuse  # type: ignore[method-assign]
    run(office, batch_id)

    assert office.statuses() == [Status.CANCELLED]
    assert office.orders() == []


@pytest.mark.parametrize(
    ("policy", "tried", "status"),
    [(ResendPolicy.PREFER_NO_DUPLICATE, 2, Status.UNKNOWN), (ResendPolicy.PREFER_DELIVERY, 3, Status.DEFERRED)],
)
def test_a_worker_that_dies_between_answer_and_settle_repeats_nothing_by_itself(
    engine: Engine, policy: ResendPolicy, tried: int, status: Status
) -> None:
    """What it knew is lost, so the outcome is unknown; where the batch prefers delivery, the schedule goes on where it was."""
    with smtp_office(engine, REFUSED) as (office, receiver):
        batch_id = office.batch(2, now=NOW, policy=policy)
        run(office, batch_id)
        died_at, permits = next_try(office), office.rate.wait(1, lane=Lane.BULK)
        claims = office.outbound.dispatch.claim(batch_id, most=1, provider="smtp", now=died_at)
        send_claimed(claims, permits, office.outbound)
        for later in (timedelta(seconds=30), 3 * MINUTE, HOUR + 5 * MINUTE, HOUR + 6 * MINUTE):
            settle_unknown(office.outbound, now=died_at + later)
            run(office, batch_id, died_at + later)

        [refusals] = office.values("select count(*) from activity where facts->>'reason' = 'recipient_unavailable'")
        assert receiver.tried[REFUSED] == tried
        assert refusals == tried - 1
        assert office.statuses()[1] == status


@pytest.mark.parametrize("ahead", [timedelta(), HOUR])
def test_rescheduling_moves_a_message_later_and_never_before_its_next_try(office: Office, ahead: timedelta) -> None:
    """A caller that reschedules each minute would otherwise call the recipient's server each minute."""
    batch_id = office.batch(2, now=NOW)
    office.provider.answers.append(RecipientUnavailable("not now"))
    run(office, batch_id)
    due_at = next_try(office)
    outbox = SqlOutbox(office.engine)

    for send_at in (NOW + 2 * HOUR, NOW + ahead):
        moved = outbox.reschedule("acme", batch_id, send_at, now=NOW + MINUTE)

    [there] = office.values("select due_at from message where status <> 'dispatched'")
    assert moved == 1
    assert there == max(due_at, NOW + ahead)
    assert office.orders()[-1] == there
    assert run(office, batch_id, there - MINUTE).dispatched == 0
    assert run(office, batch_id, there).dispatched == 1


def test_a_hold_and_its_end_change_nothing_of_the_schedule(office: Office) -> None:
    """After a resume it is due at its own time, and its earlier tries count."""
    batch_id = office.batch(1, now=NOW)
    office.provider.answers.extend([RecipientUnavailable("not now")] * 2)
    run(office, batch_id)
    due_at, outbox = next_try(office), SqlOutbox(office.engine)
    outbox.hold([batch_id], reason=HoldReason.RUN_GONE, now=NOW)
    outbox.resume("acme", batch_id, by="ada", now=NOW)

    early, late = run(office, batch_id, due_at - MINUTE), run(office, batch_id, due_at)

    assert (early.deferred, late.deferred) == (0, 1)
    assert next_try(office) >= due_at + 15 * MINUTE


def test_a_run_for_one_message_leaves_the_others(office: Office) -> None:
    """Another message of the batch is due later: its server asked for two hours."""
    batch_id = office.batch(2, now=NOW)
    office.provider.answers.extend([RecipientUnavailable("not now", retry_after_s=wait_s) for wait_s in (0, 7200)])
    run(office, batch_id)
    first, second = sorted(office.values("select due_at from message"))

    tally = run(office, batch_id, first)

    assert second - NOW >= 2 * HOUR
    assert (tally.dispatched, tally.deferred) == (1, 0)
    assert next_try(office) == second


def test_a_refused_try_is_not_counted_in_the_quota(office: Office) -> None:
    """Only what is sent counts, however often it was tried."""
    SqlQuotas(office.engine).allow("acme", Allowance(day=10))
    batch_id = office.batch(3, now=NOW)
    office.provider.answers.extend([RecipientUnavailable("not now")])

    run(office, batch_id)

    assert SqlQuotas(office.engine).used("acme", now=NOW)[Period.DAY] == 2
    assert office.rate.out == 0


def test_a_message_that_is_sent_again_after_its_end_has_a_new_schedule(office: Office) -> None:
    """The tries before its end are history."""
    office.outbound.schedule = SHORT
    batch_id = office.batch(1, now=NOW)
    office.provider.answers.extend([RecipientUnavailable("not now")] * 9)
    run(office, batch_id)
    while office.statuses() == [Status.DEFERRED]:
        run(office, batch_id, next_try(office))
    assert office.statuses() == [Status.FAILED]
    later, again = NOW + 9 * DAY, "update message set status = 'queued', handed_at = null, due_at = :at"
    with office.engine.begin() as connection:
        connection.execute(text(again), {"at": later})

    run(office, batch_id, later)

    assert later + 5 * MINUTE <= next_try(office) <= later + 12 * MINUTE


def test_other_answers_between_do_not_use_up_a_step(office: Office) -> None:
    """A provider that was away for a while did not try this recipient."""
    batch_id = office.batch(1, now=NOW)
    office.provider.answers.extend(
        [RecipientUnavailable("not now"), TransientError("away"), RecipientUnavailable("not now")]
    )
    run(office, batch_id)
    due_at = next_try(office)
    run(office, batch_id, due_at)
    run(office, batch_id, due_at + MINUTE)

    assert next_try(office) <= due_at + MINUTE + 15 * MINUTE * 1.2 + 5 * MINUTE


def test_messages_given_up_count_like_soft_bounces(office: Office) -> None:
    """Through another provider each would have bounced; after five within thirty days the address is left alone for a while."""
    office.outbound.schedule = SHORT
    for at in range(5):
        batch_id, now = office.batch(1, now=NOW), NOW + at * DAY
        suppressed = office.values("select address from suppression")
        office.provider.answers.extend([RecipientUnavailable("not now")] * 9)
        with office.engine.begin() as connection:
            connection.execute(text("update message set due_at = :at where status = 'accepted'"), {"at": now})
        run(office, batch_id, now)
        while Status.DEFERRED in office.statuses():
            run(office, batch_id, next_try(office))
        office.provider.answers.clear()

    assert suppressed == []
    assert office.values("select address || ' ' || reason from suppression") == ["u0@users.test soft_bounces"]
