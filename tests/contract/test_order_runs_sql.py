"""Which run carries which order, and what an operator did to the run, on PostgreSQL."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.outbound.order_runs import SqlOrderRuns
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.errors import Throttled
from mailroom.outbound.run_outcomes import OrderRun, RunOutcome, apply_outcomes
from mailroom.ports.dispatch import Outcome
from mailroom.ports.holds import HoldReason
from tests.support.sending import Office, office_on

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
LATER = NOW + timedelta(hours=2)
RUN = str(uuid4())


@pytest.fixture
def outbound_side(engine: Engine) -> Iterator[Office]:
    with office_on(engine) as made:
        yield made


@pytest.fixture
def runs(engine: Engine) -> SqlOrderRuns:
    return SqlOrderRuns(engine)


def scheduled(outbound_side: Office, runs: SqlOrderRuns, run_id: str = RUN) -> str:
    """Store a scheduled batch whose order is carried by a run."""
    batch_id = outbound_side.batch(3, now=NOW, send_at=LATER)
    runs.record_run(batch_id, LATER, run_id=run_id)
    return batch_id


def test_a_new_order_for_the_same_time_is_carried_by_no_run(outbound_side: Office, runs: SqlOrderRuns) -> None:
    """A person resumed the batch: the deleted run must not hold it once more."""
    batch_id = scheduled(outbound_side, runs)
    SqlOutbox(outbound_side.engine).hold([batch_id], reason=HoldReason.RUN_GONE, now=NOW)
    before = runs.run_of(batch_id, LATER)

    SqlOutbox(outbound_side.engine).resume(None, batch_id, by="ada", now=NOW)

    assert (before, runs.run_of(batch_id, LATER)) == (RUN, None)
    assert runs.scheduled(after=0, limit=10) == []


@pytest.mark.parametrize("batch_id", ["no id at all", "0190a1b2-0000-7000-8000-0000000000ff"])
def test_an_order_of_no_batch_has_no_run(runs: SqlOrderRuns, batch_id: str) -> None:
    """Anyone may write to the queue."""
    runs.record_run(batch_id, NOW, run_id=RUN)

    assert runs.run_of(batch_id, NOW) is None


def test_only_batches_that_wait_for_their_run_are_checked(outbound_side: Office, runs: SqlOrderRuns) -> None:
    """Not a cancelled one, one whose run began, one that was ordered again since, or one without a run."""
    waits, cancelled, begun, again, _ = [scheduled(outbound_side, runs, str(uuid4())) for _ in range(4)] + [
        outbound_side.batch(1, now=NOW, send_at=LATER)
    ]
    SqlOutbox(outbound_side.engine).cancel(None, cancelled, now=NOW)
    outbound_side.outbound.dispatch.plan(begun, now=LATER)
    SqlOutbox(outbound_side.engine).reschedule(None, again, LATER + timedelta(hours=1), now=NOW)

    assert [one.batch_id for one in runs.scheduled(after=0, limit=10)] == [waits]


def test_batches_that_a_breaker_stopped_are_checked_too(outbound_side: Office, runs: SqlOrderRuns) -> None:
    """Its run is suspended, and a person may cancel it instead of resuming it."""
    batch_id = scheduled(outbound_side, runs)
    outbound_side.outbound.dispatch.plan(batch_id, now=LATER)
    opened = text(
        "insert into breaker (id, tenant, batch_id, trip, sent, bounced, complained, runs, opened_at)"
        " values (gen_random_uuid(), 'acme', :batch_id, 'bounces', 100, 20, 0, array[cast(:run_id as uuid)], :now)"
    )
    with outbound_side.engine.begin() as connection:
        connection.execute(opened, {"batch_id": batch_id, "run_id": RUN, "now": NOW})

    assert [(one.batch_id, one.run_id) for one in runs.scheduled(after=0, limit=10)] == [(batch_id, RUN)]


def put_off_in_part(outbound_side: Office, runs: SqlOrderRuns, again: str) -> str:
    """Store a batch with two messages deferred to a scheduled run, and one that was sent since by a run that ended."""
    batch_id = scheduled(outbound_side, runs)
    with outbound_side.engine.begin() as connection:
        connection.execute(
            text("update message set status = 'unknown', handed_at = :now where number = 0"), {"now": NOW}
        )
    [first] = outbound_side.values("select id::text from message where number = 0")
    assert outbound_side.outbound.dispatch.resend([first], now=NOW) == 1
    runs.record_run(batch_id, NOW, run_id=again)
    outbound_side.outbound.dispatch.plan(batch_id, now=NOW)
    outbound_side.outbound.dispatch.claim(batch_id, most=10, provider="ses", now=NOW)
    assert outbound_side.statuses() == ["sending", "accepted", "accepted"]
    return batch_id


def test_deferred_messages_are_checked_though_their_order_is_not_the_latest(
    outbound_side: Office, runs: SqlOrderRuns
) -> None:
    """A cancel of its run was ignored, because the rest had been ordered again since; and a sweep sent it."""
    batch_id = put_off_in_part(outbound_side, runs, str(uuid4()))

    assert [(one.batch_id, one.run_id) for one in runs.scheduled(after=0, limit=10)] == [(batch_id, RUN)]


@pytest.mark.parametrize(("fate", "status"), [(RunOutcome.CANCELLED, "cancelled"), (RunOutcome.GONE, "held")])
def test_a_sweep_obeys_what_became_of_any_run_that_carries_a_part(
    outbound_side: Office, runs: SqlOrderRuns, fate: RunOutcome, status: str
) -> None:
    """The run of the latest order is Completed, and says nothing about messages that it did not carry."""
    again = str(uuid4())
    batch_id = put_off_in_part(outbound_side, runs, again)
    sweep = LATER + timedelta(hours=1)

    overdue = runs.overdue(before=sweep, limit=10)
    obeyed = apply_outcomes(
        overdue, {RUN: fate, again: RunOutcome.OTHER}, outbox=SqlOutbox(outbound_side.engine), now=sweep
    )

    assert overdue == [OrderRun(batch_id, RUN), OrderRun(batch_id, again)]
    assert obeyed.left == []
    assert outbound_side.statuses() == ["sending", status, status]


def test_checking_continues_after_the_last_page(outbound_side: Office, runs: SqlOrderRuns) -> None:
    """Ten thousand scheduled batches are checked page by page."""
    batches = [scheduled(outbound_side, runs, str(uuid4())) for _ in range(3)]

    first = runs.scheduled(after=0, limit=2)
    rest = runs.scheduled(after=first[-1].order_id, limit=2)

    assert [one.batch_id for one in first + rest] == batches


def test_overdue_batches_name_the_run_of_their_latest_order(outbound_side: Office, runs: SqlOrderRuns) -> None:
    """A batch without a run names none: its order was lost, and it is ordered again."""
    carried, lost = scheduled(outbound_side, runs), outbound_side.batch(1, now=NOW)

    overdue = runs.overdue(before=LATER + timedelta(minutes=1), limit=10)

    assert set(overdue) == {OrderRun(carried, RUN), OrderRun(lost, None)}


def test_fates_are_written_to_the_ledger(outbound_side: Office, runs: SqlOrderRuns) -> None:
    """A cancel is final, a deleted run holds its batch, and one that waits or may continue is left as it is."""
    fates = {str(uuid4()): fate for fate in (RunOutcome.CANCELLED, RunOutcome.GONE, RunOutcome.WAITS, RunOutcome.OTHER)}
    batches = [scheduled(outbound_side, runs, run_id) for run_id in fates]
    outbox, sweep = SqlOutbox(outbound_side.engine), LATER + timedelta(hours=1)

    obeyed = apply_outcomes(runs.overdue(before=sweep, limit=10), fates, outbox=outbox, now=sweep)

    assert [*obeyed.cancelled, *obeyed.held, *obeyed.waits, *obeyed.left] == batches
    output = {"by": "cancelled in Prefect", "run_id": next(iter(fates)), "reason": "cancelled_in_prefect"}
    assert outbound_side.values("select facts - 'due_at' from activity where kind = 'cancelled'") == [output] * 3
    reasons = outbound_side.values("select distinct status || ':' || coalesce(reason, '') from message order by 1")
    assert reasons == ["accepted:", "cancelled:cancelled_in_prefect", "held:run_gone"]
    assert outbox.remind(before=sweep, limit=10, now=sweep, only=obeyed.left) == [batches[3]]


def test_what_comes_back_from_a_provider_after_a_cancel_waits_no_more(outbound_side: Office) -> None:
    """It was sending when the batch was cancelled, the provider throttled it, and a sweep would send it later."""
    batch_id = outbound_side.batch(2, now=NOW)
    first, second = outbound_side.outbound.dispatch.claim(batch_id, most=2, provider="ses", now=NOW)
    SqlOutbox(outbound_side.engine).cancel(None, batch_id, now=NOW)

    later = NOW + timedelta(minutes=5)
    outcomes = [Outcome(one.draft.id, one.attempt, Throttled("slow down"), later) for one in (first, second)]
    outbound_side.outbound.dispatch.settle(outcomes, now=NOW)

    assert outbound_side.statuses() == ["cancelled"] * 2
    assert SqlOutbox(outbound_side.engine).remind(before=LATER, limit=10, now=LATER) == []


def test_an_unknown_message_of_a_cancelled_batch_is_not_sent_again(outbound_side: Office) -> None:
    """Whatever its policy: a person decided that nothing more is sent."""
    batch_id = outbound_side.batch(1, now=NOW)
    [claim] = outbound_side.outbound.dispatch.claim(batch_id, most=1, provider="ses", now=NOW)
    outbound_side.outbound.dispatch.strand(before=LATER, now=LATER)
    SqlOutbox(outbound_side.engine).cancel(None, batch_id, now=LATER)

    assert outbound_side.outbound.dispatch.resend([claim.draft.id], now=LATER) == 0
    assert outbound_side.statuses() == ["unknown"]
