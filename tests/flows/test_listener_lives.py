"""The listener over time: heartbeats, leases while services fail or other workers live, and how it stops."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Completed, Failed
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.domain.inbound.received_email import Arrival, Entry
from mailroom.ports.ledger import Lease
from mailroom.testing.notices import s3_notice
from tests.support.inbound_listener import QUICK, Desk, from_ses, holds, ref

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


@pytest.fixture
def inbound_setup(engine: Engine) -> Desk:
    return Desk(SqlLedger(engine))


def test_stopping_releases_unfinished_mails_within_the_patience(inbound_setup: Desk) -> None:
    """A deployment stops workers; what they cannot finish must go to another at once, not after a timeout."""
    inbound_setup.executor.ending = lambda run: asyncio.sleep(3600, None)
    inbound_setup.queue.send(from_ses())

    took_s = inbound_setup.listen(lambda: bool(inbound_setup.executor.ran), replace(QUICK, stop_patience_s=0.2))

    assert 0.2 <= took_s < 120, "the run takes an hour"
    assert inbound_setup.came_back() == [(from_ses(), 2)]


def test_stopping_lets_a_run_end_and_acknowledges_it(inbound_setup: Desk) -> None:
    """Most runs take less than a second; ending them would waste the work."""
    inbound_setup.executor.ending = lambda run: asyncio.sleep(0.1, Completed())
    inbound_setup.queue.send(from_ses())

    took_s = inbound_setup.listen(lambda: bool(inbound_setup.executor.ran), replace(QUICK, stop_patience_s=600))

    assert took_s < 120, "it waits for the run, and not for the end of its patience"
    assert inbound_setup.empty()


def test_what_is_in_progress_stays_hidden_and_leased(inbound_setup: Desk) -> None:
    """A mail that takes longer than the visibility timeout must not land on a second worker."""
    taken: list[Entry | None] = []

    async def long(run: FlowRun) -> State | None:
        begun = datetime.now(UTC)
        beats = inbound_setup.queue.hidden_for.count(45)
        # A heartbeat hides first and renews the lease then: the first of these has done both.
        await holds(lambda: inbound_setup.queue.hidden_for.count(45) >= beats + 3)
        claim = Lease("another", begun)
        taken.append(inbound_setup.ledger.register(Arrival(ref()), now=datetime.now(UTC), claim=claim))
        return Completed()

    inbound_setup.executor.ending = long
    inbound_setup.queue.send(from_ses())

    inbound_setup.listen(inbound_setup.empty, replace(QUICK, beat_s=0.05))

    assert taken == [None]
    assert inbound_setup.queue.hidden_for.count(45) > 1


def test_one_failed_heartbeat_does_not_end_the_heartbeats(inbound_setup: Desk) -> None:
    """Expired credentials are renewed a moment later; without heartbeats every long mail would be run twice, silently."""
    inbound_setup.executor.ending = lambda run: asyncio.sleep(3600, None)
    inbound_setup.queue.broken = True
    inbound_setup.queue.send(from_ses())

    inbound_setup.listen(inbound_setup.left(45), replace(QUICK, beat_s=0.05, stop_patience_s=0.1))

    assert not inbound_setup.queue.broken


def test_a_queue_that_cannot_be_read_is_probed_and_read_again(inbound_setup: Desk) -> None:
    """An outage of SQS, or expired credentials: the listener must neither end nor spin."""
    inbound_setup.queue.unreadable = 1
    inbound_setup.queue.send(from_ses())

    inbound_setup.listen(inbound_setup.empty)

    assert inbound_setup.health.suspicions == 1
    assert inbound_setup.executor.ran == ["abc123"]


def test_two_versions_of_one_key_at_once_are_two_mails(inbound_setup: Desk) -> None:
    """Overwriting an object must not make its first mail disappear behind the second."""
    versions = [replace(ref(), version="v1"), replace(ref(), version="v2")]
    for version in versions:
        inbound_setup.queue.send(s3_notice(version))

    inbound_setup.listen(inbound_setup.empty)

    assert sorted(inbound_setup.runs.asked, key=lambda one: one.version) == versions


def test_what_an_outage_stopped_goes_on_after_it_without_a_second_receive(inbound_setup: Desk) -> None:
    """Receive counts are for mails that fail by themselves; an outage must bring no mail nearer to the dead letters."""

    async def fails_until_the_outage_is_over(run: FlowRun) -> State | None:
        if len(inbound_setup.executor.ran) == 1:
            inbound_setup.health.outlasted += 1
            return Failed()
        return Completed()

    inbound_setup.executor.ending = fails_until_the_outage_is_over
    inbound_setup.queue.send(from_ses())

    inbound_setup.listen(inbound_setup.empty)

    assert inbound_setup.executor.ran == ["abc123", "abc123"]
    assert inbound_setup.queue.hidden_for.count(QUICK.retry_after_s) == 0


def test_a_mail_that_a_pool_run_elsewhere_has_leased_is_left_alone(inbound_setup: Desk) -> None:
    """A Retry on another worker holds the mail as the listener's own runs do; its redelivery must not run beside it."""
    now = datetime.now(UTC)
    inbound_setup.ledger.begin(ref(), now=now, claim=Lease("another", now - timedelta(seconds=45)))
    inbound_setup.queue.send(from_ses())

    inbound_setup.listen(inbound_setup.left(60))

    assert (inbound_setup.runs.asked, inbound_setup.executor.ran) == ([], [])


def test_a_worker_reports_that_it_lives_and_that_it_stops(inbound_setup: Desk, engine: Engine) -> None:
    """The metrics and `mailroom status` show who works, and on how much."""
    output: list[object] = []

    async def long(run: FlowRun) -> State | None:
        await holds(_reported_by_the_worker)
        return Completed()

    def _reported_by_the_worker() -> bool:
        with engine.connect() as connection:
            output.extend(connection.execute(text("select name, in_hand, paused_by from worker where in_hand > 0")))
        return bool(output)

    inbound_setup.executor.ending = long
    inbound_setup.queue.send(from_ses())

    inbound_setup.listen(inbound_setup.empty, replace(QUICK, beat_s=0.05))

    assert output == [("this", 1, None)]
    with engine.connect() as connection:
        assert connection.execute(text("select * from worker")).all() == []
