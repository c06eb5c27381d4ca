"""The port `Rate` on PostgreSQL: never more sends in a second than allowed, as the provider counts, over all workers."""

import random
import time
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.outbound import rate_permits as turns_sql
from mailroom.adapters.postgres.outbound.rate_permits import SqlRate
from mailroom.domain.outbound.message import Lane
from mailroom.domain.outbound.rate_slots import RateSlots
from mailroom.outbound import dispatching
from tests.support.lockstep_clock import Lockstep, lockstep, most_in


class Sending:
    """Takes permits, as a batch does, and makes calls of `call_s`; the provider counts each at some moment within the call."""

    def __init__(
        self, clock: Lockstep, pace: RateSlots, *, lane: Lane = Lane.BULK, most: int = 32, call_s: float = 0.01
    ) -> None:
        self.clock, self.rate = clock, rate_of(clock.engine, pace)
        self.lane, self.most, self.call_s = lane, most, call_s
        self.chance = random.Random(14)
        self.counted: list[float] = []

    def for_(self, seconds: float) -> Callable[[], None]:
        """Return a function that sends for so many seconds."""
        return lambda: self.until(self.clock.monotonic() + seconds)

    def until(self, end: float) -> None:
        while self.clock.monotonic() < end:
            self.once()

    def once(self) -> None:
        permits = self.rate.wait(self.most, lane=self.lane)
        for permit in permits:
            self.clock.sleep(permit.at - self.clock.monotonic())
            permit.began = self.clock.monotonic()
            permit.ended = permit.began + self.call_s
            self.counted.append(permit.began + self.call_s * self.chance.random())
        if permits:
            # The calls run at once.
            self.clock.sleep(self.call_s)
        self.rate.give_back(permits)


class Gathering(Sending):
    """The same, with as many mails in a call as are due together."""

    def once(self) -> None:
        permits = self.rate.wait(self.most, lane=self.lane)
        for start, stop in dispatching._together(permits, 50):
            began = self.clock.monotonic()
            for permit in permits[start:stop]:
                assert permit.at <= began
                permit.began, permit.ended = began, began + self.call_s
                self.counted.append(began + self.call_s * self.chance.random())
        if permits:
            self.clock.sleep(self.call_s)
        self.rate.give_back(permits)


@pytest.fixture
def clock(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Lockstep:
    """A clock that only the test advances."""
    made = lockstep(engine)
    monkeypatch.setattr(turns_sql, "time", made)
    monkeypatch.setattr(turns_sql, "random", random.Random(8))
    return made


@pytest.mark.parametrize(("per_second", "call_s"), [(14, 0.05), (100, 0.005)])
def test_three_workers_together_keep_the_rate_and_use_it(clock: Lockstep, per_second: float, call_s: float) -> None:
    """The limit is the account's, not a process's; and the provider's clock counts, not ours."""
    workers = [Sending(clock, RateSlots.of(per_second), call_s=call_s) for _ in range(3)]

    clock.run(*(worker.for_(10) for worker in workers))

    counted = sorted(moment for worker in workers for moment in worker.counted)
    assert most_in(1.0, counted) <= per_second
    # ADR 8 accepts that a slot is idle during its call.
    assert len(counted) >= 0.95 * 10 * per_second / (1 + call_s)


@pytest.mark.parametrize("per_second", [14, 200])
def test_a_batch_uses_98_percent_of_the_rate_where_calls_are_short(
    clock: Lockstep, monkeypatch: pytest.MonkeyPatch, per_second: float
) -> None:
    """Two rounds send as a batch does, several mails to a call; only the calls, of 5 ms, and the wait for more mails cost slots."""
    monkeypatch.setattr(dispatching, "time", clock)
    rounds = [Gathering(clock, RateSlots.of(per_second), call_s=0.005) for _ in range(2)]

    clock.run(*(one.for_(20) for one in rounds))

    counted = sorted(moment for one in rounds for moment in one.counted)
    assert most_in(1.0, counted) <= per_second
    # The first second is apart: new slots are free one after the other.
    assert sum(moment >= counted[0] + 1 for moment in counted) >= 0.98 * per_second * (counted[-1] - counted[0] - 1)


def test_transactional_mail_overtakes_bulk(clock: Lockstep) -> None:
    """A newsletter of hours must not delay a password reset: bulk gets a fifth at most."""
    bulk = [Sending(clock, RateSlots.of(30)) for _ in range(2)]
    transactional = Sending(clock, RateSlots.of(30), lane=Lane.TRANSACTIONAL)

    clock.run(*(one.for_(10) for one in [*bulk, transactional]))

    assert len(transactional.counted) >= 4 * sum(len(one.counted) for one in bulk)


def test_one_mail_gets_a_permit_within_a_second_while_two_bulk_batches_use_the_whole_rate(clock: Lockstep) -> None:
    """Every slot is free once a second, and the first free one goes to the request that looks furthest ahead."""
    bulk = [Sending(clock, RateSlots.of(14)) for _ in range(2)]
    resets = Sending(clock, RateSlots.of(14), lane=Lane.TRANSACTIONAL, most=1)
    waits: list[float] = []

    def now_and_then() -> None:
        for _ in range(10):
            clock.sleep(1.37)
            asked = clock.monotonic()
            resets.once()
            waits.append(resets.counted[-1] - asked)

    clock.run(now_and_then, *(one.for_(15) for one in bulk))

    assert len(waits) == 10
    assert max(waits) <= 1.0


def test_bulk_gets_what_transactional_mail_left(engine: Engine) -> None:
    """Requests that look further ahead come first, without a list of waiting ones."""
    rate = rate_of(engine, RateSlots(1, 1.0), patience_s=0)
    rate.give_back(rate.wait(1))
    set_free(engine, "10 minutes")
    assert rate.wait(1, lane=Lane.TRANSACTIONAL) == []

    set_free(engine, "700 milliseconds")

    assert len(rate.wait(1, lane=Lane.TRANSACTIONAL)) == 1
    assert rate.wait(1, lane=Lane.BULK) == []


def test_two_bulk_batches_share(clock: Lockstep) -> None:
    """Neither waits for the other's end, nor longer than the other for its own permits: they get the same."""
    one, other = Sending(clock, RateSlots.of(40)), Sending(clock, RateSlots.of(40))

    clock.run(one.for_(10), other.for_(10))

    assert min(len(one.counted), len(other.counted)) >= 0.45 * len(one.counted + other.counted)


def test_a_slot_has_one_permit_at_a_time(engine: Engine) -> None:
    """Until it is released, or its holder is silent for too long to be alive; a late release takes nothing away."""
    rate = rate_of(engine, RateSlots(1, 1.0), patience_s=0)
    [first] = rate.wait(5)
    assert rate.wait(5) == []

    set_free(engine, "-1 second")
    [second] = rate.wait(5)
    rate.give_back([first])

    assert second.holder != first.holder
    assert rate.wait(5) == []


def test_an_unused_permit_is_available_at_its_time(engine: Engine) -> None:
    """A batch that ends leaves its permits to the next."""
    rate = rate_of(engine, RateSlots(1, 1.0), patience_s=0)
    [permit] = rate.wait(1)
    rate.give_back([permit])

    [again] = rate.wait(1)

    assert again.holder != permit.holder


def test_an_interrupted_call_keeps_its_slot_for_a_while(engine: Engine) -> None:
    """It is not known when the provider counted it, or whether it still will."""
    rate = rate_of(engine, RateSlots(1, 1.0), patience_s=0)
    [permit] = rate.wait(1)
    permit.began = time.monotonic()

    rate.give_back([permit])

    assert rate.wait(1) == []


def test_fewer_mails_a_second_hold_at_once(engine: Engine) -> None:
    """An operator lowers the limit while a batch runs."""
    rate_of(engine, RateSlots(10, 1.0)).wait(1)
    set_free(engine, "-1 second")
    fewer = rate_of(engine, RateSlots(2, 1.0), patience_s=0)

    taken = [permit for _ in range(10) for permit in fewer.wait(10)]

    assert sorted(permit.place for permit in taken) == [0, 1]


def test_nothing_goes_while_nothing_is_allowed(engine: Engine) -> None:
    """0 in the UI is a stop."""
    assert rate_of(engine, None, patience_s=0).wait(5) == []


def rate_of(engine: Engine, pace: RateSlots | None, **changes: float) -> SqlRate:
    return SqlRate(engine, "ses/1/eu-west-1", pace=lambda: pace, **changes)


def set_free(engine: Engine, after: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"update turn set free_at = clock_timestamp() + interval '{after}'"))
