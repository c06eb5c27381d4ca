"""Holds on PostgreSQL: held messages are not sent, a person releases them, and provider events settle them."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.operations.monitoring import SqlMonitoring
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.message_reader import SqlMessageReader
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.postgres.skipped_rows import skipped_now
from mailroom.domain.delivery.events import Kind
from mailroom.domain.errors import Conflict, DailyQuota, Throttled, TransientError
from mailroom.domain.outbound.message import ResendPolicy, Status
from mailroom.ports.dispatch import Outcome
from mailroom.ports.holds import HeldCount, HoldReason
from mailroom.testing.notices import an_event
from tests.support.sending import Office, office_on

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
LATER, HOUR = NOW + timedelta(hours=3), timedelta(hours=1)


@pytest.fixture
def outbox(engine: Engine) -> SqlOutbox:
    return SqlOutbox(engine)


def held_batch(outbox: SqlOutbox, office: Office, count: int = 3, **changes: datetime) -> str:
    batch_id = office.batch(count, now=NOW, **changes)
    assert outbox.hold([batch_id], reason=HoldReason.RUN_GONE, now=NOW) == count
    return batch_id


def test_nothing_takes_what_is_held(engine: Engine, outbox: SqlOutbox) -> None:
    """Relay, sweep and runs send what is due; none of them may decide in place of a person."""
    with office_on(engine) as office:
        batch_id, dispatch = held_batch(outbox, office), SqlDispatch(engine)

        outbox.published(outbox.take(most=10, now=NOW, until=LATER), now=NOW)

        assert outbox.remind(before=NOW + 2 * HOUR, limit=10, now=LATER) == []
        assert dispatch.plan(batch_id, now=LATER).due == 0
        assert dispatch.claim(batch_id, most=10, provider="ses", now=LATER) == []
        assert office.statuses() == [Status.HELD] * 3
        assert office.values("select distinct reason from message") == ["run_gone"]


def test_a_resumed_batch_is_ordered_once_for_its_time(engine: Engine, outbox: SqlOutbox) -> None:
    """Its old order was carried out by a run that found nothing to send."""
    with office_on(engine) as office:
        due, scheduled = held_batch(outbox, office), held_batch(outbox, office, send_at=LATER)
        now = NOW + HOUR

        assert outbox.resume("acme", due, by="ada", now=now) == 3
        assert outbox.resume(None, scheduled, by="ada", now=now) == 3
        assert outbox.resume(None, due, by="ada", now=now) == 0

        assert sorted(office.orders()) == [now, LATER]
        assert sorted(set(office.statuses())) == [Status.QUEUED, Status.SCHEDULED]
        assert len(SqlDispatch(engine).claim(due, most=10, provider="ses", now=now)) == 3
        assert office.values("select distinct facts ->> 'by' from activity where kind = 'resumed'") == ["ada"]


def test_what_expired_while_it_was_held_expires_when_it_is_resumed(engine: Engine, outbox: SqlOutbox) -> None:
    """Nobody wants yesterday's sign-in code, whatever held it."""
    with office_on(engine) as office:
        batch_id = held_batch(outbox, office, expires_at=NOW + HOUR)

        outbox.resume(None, batch_id, by="ada", now=LATER)

        assert SqlDispatch(engine).plan(batch_id, now=LATER).expired == 3
        assert office.statuses() == [Status.EXPIRED] * 3


def test_a_person_withholds_what_is_held(engine: Engine, outbox: SqlOutbox) -> None:
    """The alternative to a resume; the result says how many may have gone before a restore."""
    with office_on(engine) as office:
        batch_id = held_batch(outbox, office)

        cancelled = outbox.cancel("acme", batch_id, now=LATER)

        assert cancelled is not None
        assert (cancelled.cancelled, cancelled.held, cancelled.gone) == (3, 3, ())
        assert office.statuses() == [Status.CANCELLED] * 3


def test_a_held_batch_is_not_rescheduled(engine: Engine, outbox: SqlOutbox) -> None:
    """A new time would be an unintended resume."""
    with office_on(engine) as office:
        batch_id = held_batch(outbox, office)

        with pytest.raises(Conflict, match="resume or cancel"):
            outbox.reschedule("acme", batch_id, LATER, now=NOW)

        assert office.values("select send_at from batch") == [None]


def test_an_event_settles_a_held_message_for_good(engine: Engine, outbox: SqlOutbox) -> None:
    """The event proves that the provider has it: no resume may send it again."""
    with office_on(engine) as office:
        batch_id = held_batch(outbox, office)
        first = str(office.values("select id from message where number = 0")[0])

        SqlEvents(engine).record([an_event(Kind.DELIVERED, message_id=first)], now=NOW)

        assert office.statuses() == [Status.DELIVERED, Status.HELD, Status.HELD]
        assert outbox.resume(None, batch_id, by="ada", now=NOW) == 2
        assert len(SqlDispatch(engine).claim(batch_id, most=10, provider="ses", now=NOW)) == 2


def test_another_tenant_resumes_nothing(engine: Engine, outbox: SqlOutbox) -> None:
    """A batch belongs to its tenant."""
    with office_on(engine) as office:
        batch_id = held_batch(outbox, office)

        assert outbox.resume("umbrella", batch_id, by="eve", now=NOW) is None
        assert outbox.held("umbrella", limit=10) == []
        assert office.statuses() == [Status.HELD] * 3


def test_held_messages_are_counted_and_shown_by_reason(engine: Engine, outbox: SqlOutbox) -> None:
    """Status, metrics, alarm and page all say how much waits for a person."""
    with office_on(engine) as office:
        soon, later = held_batch(outbox, office, 2), held_batch(outbox, office, 1, send_at=LATER)

        assert [(one.id, one.messages) for one in outbox.held(None, limit=10)] == [(soon, 2), (later, 1)]
        assert SqlMonitoring(engine).held() == {HoldReason.RUN_GONE: HeldCount(2, 3)}
        assert SqlMonitoring(engine).census(now=NOW).held == {HoldReason.RUN_GONE: HeldCount(2, 3)}
        line = SqlMessageReader(engine).batch("acme", soon)
        assert line is not None
        assert line.held == {HoldReason.RUN_GONE: 2}
        assert line.next_at is None


def test_what_is_held_for_no_reason_that_there_is_hides_no_other(engine: Engine, outbox: SqlOutbox) -> None:
    """Newer code may know more reasons; an unknown one must not end the list of held batches."""
    with office_on(engine) as office:
        strange, usual = held_batch(outbox, office), held_batch(outbox, office)
        with engine.begin() as connection:
            connection.execute(text("update message set reason = 'no such' where batch_id = :id"), {"id": strange})

        assert [one.id for one in outbox.held(None, limit=10)] == [usual]
        assert [one.named for one in skipped_now(engine)] == [((f"batch {strange}", "unknown holdreason"),)]


def test_what_is_at_the_provider_is_not_held(engine: Engine, outbox: SqlOutbox) -> None:
    """Its outcome comes by itself; a hold would hide it."""
    with office_on(engine) as office:
        batch_id = office.batch(now=NOW)
        SqlDispatch(engine).claim(batch_id, most=1, provider="ses", now=NOW)

        assert outbox.hold([batch_id], reason=HoldReason.RUN_GONE, now=NOW) == 2
        assert office.statuses() == [Status.SENDING, Status.HELD, Status.HELD]


@pytest.mark.parametrize("error", [Throttled("slow down"), DailyQuota("used up")])
def test_what_a_provider_gives_back_is_held_with_the_rest_of_its_batch(
    engine: Engine, outbox: SqlOutbox, error: TransientError
) -> None:
    """It was at the provider while the run was deleted; nobody approved sending it."""
    with office_on(engine) as office:
        batch_id, dispatch = office.batch(now=NOW), SqlDispatch(engine)
        [claim] = dispatch.claim(batch_id, most=1, provider="ses", now=NOW)
        outbox.hold([batch_id], reason=HoldReason.RUN_GONE, now=NOW)

        dispatch.settle([Outcome(claim.draft.id, claim.attempt, error, LATER)], now=NOW)

        assert office.statuses() == [Status.HELD] * 3
        assert office.orders() == []
        assert outbox.resume(None, batch_id, by="ada", now=LATER) == 3


def test_an_unknown_outcome_of_a_held_batch_waits_for_a_person(engine: Engine, outbox: SqlOutbox) -> None:
    """Its policy would send it again by itself."""
    with office_on(engine) as office:
        batch_id, dispatch = office.batch(now=NOW, policy=ResendPolicy.PREFER_DELIVERY), SqlDispatch(engine)
        [claim] = dispatch.claim(batch_id, most=1, provider="ses", now=NOW)
        dispatch.strand(before=LATER, now=LATER)
        outbox.hold([batch_id], reason=HoldReason.RUN_GONE, now=LATER)

        held = dispatch.resend([claim.draft.id], now=LATER)
        outbox.resume(None, batch_id, by="ada", now=LATER)

        assert (held, dispatch.resend([claim.draft.id], now=LATER)) == (0, 1)
