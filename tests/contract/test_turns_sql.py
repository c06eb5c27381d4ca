"""The port `Rate` on PostgreSQL: never more in a second than allowed, as the provider counts, whoever asks."""

import random
import threading
import time
from collections.abc import Sequence

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.sql.turns import SqlRate
from mailroom.domain.outbound import Lane
from mailroom.domain.pace import Pace
from mailroom.sending import Turn


class Worker:
    """Takes turns and makes calls that take `call_s`; the provider counts each at some moment within."""

    def __init__(
        self, engine: Engine, pace: Pace, *, lane: Lane = Lane.BULK, most: int = 32, call_s: float = 0.01
    ) -> None:
        self.rate = rate_of(engine, pace)
        self.lane, self.most, self.call_s = lane, most, call_s
        self.counted: list[float] = []

    def work(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.once(until=end)

    def once(self, *, until: float) -> None:
        turns = self.rate.wait(self.most, lane=self.lane)
        for turn in turns:
            if turn.at < until:
                self.call(turn)
        self.rate.give_back(turns)

    def call(self, turn: Turn) -> None:
        time.sleep(max(0.0, turn.at - time.monotonic()))
        turn.began = time.monotonic()
        share = random.random()
        time.sleep(self.call_s * share)
        self.counted.append(time.monotonic())
        time.sleep(self.call_s * (1 - share))
        turn.ended = time.monotonic()


def together(seconds: float, *workers: Worker) -> list[float]:
    threads = [threading.Thread(target=worker.work, args=[seconds]) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(moment for worker in workers for moment in worker.counted)


def most_in(window_s: float, moments: Sequence[float]) -> int:
    return max(sum(begin <= moment < begin + window_s for moment in moments) for begin in moments)


@pytest.mark.parametrize(("per_second", "call_s"), [(14, 0.05), (100, 0.005)])
def test_three_workers_together_keep_the_rate(engine: Engine, per_second: float, call_s: float) -> None:
    """The limit is the account's, not a process's; and the provider's clock counts, not ours."""
    pace = Pace.of(per_second)

    counted = together(4, *(Worker(engine, pace, call_s=call_s) for _ in range(3)))

    assert most_in(1.0, counted) <= per_second
    assert len(counted) >= per_second


def test_transactional_mail_overtakes_bulk(engine: Engine) -> None:
    """A newsletter of hours must not keep a password reset waiting."""
    pace = Pace.of(30)
    bulk, transactional = Worker(engine, pace), Worker(engine, pace, lane=Lane.TRANSACTIONAL)

    together(4, bulk, transactional)

    assert len(transactional.counted) > len(bulk.counted)


def test_bulk_gets_what_transactional_mail_left(engine: Engine) -> None:
    """Who looks further ahead comes first, without anybody keeping a list of who waits."""
    rate = rate_of(engine, Pace(1, 1.0), patience_s=0)
    rate.give_back(rate.wait(1))
    set_free(engine, "10 minutes")
    assert rate.wait(1, lane=Lane.TRANSACTIONAL) == []

    set_free(engine, "700 milliseconds")

    assert len(rate.wait(1, lane=Lane.TRANSACTIONAL)) == 1
    assert rate.wait(1, lane=Lane.BULK) == []


def test_two_bulk_batches_share(engine: Engine) -> None:
    """None waits for the other's end."""
    one, other = Worker(engine, Pace.of(40)), Worker(engine, Pace.of(40))

    together(5, one, other)

    assert min(len(one.counted), len(other.counted)) >= 0.2 * len(one.counted + other.counted)


def test_a_place_is_one_turns_at_a_time(engine: Engine) -> None:
    """Until it is given back, or its holder was silent for too long to be alive; who comes late takes nothing away."""
    rate = rate_of(engine, Pace(1, 1.0), patience_s=0)
    [first] = rate.wait(5)
    assert rate.wait(5) == []

    set_free(engine, "-1 second")
    [second] = rate.wait(5)
    rate.give_back([first])

    assert second.holder != first.holder
    assert rate.wait(5) == []


def test_a_turn_that_was_not_used_is_there_at_its_time(engine: Engine) -> None:
    """A batch that ends leaves the next one what it had taken."""
    rate = rate_of(engine, Pace(1, 1.0), patience_s=0)
    [turn] = rate.wait(1)
    rate.give_back([turn])

    [again] = rate.wait(1)

    assert again.holder != turn.holder


def test_a_call_that_was_cut_off_keeps_its_place_for_a_while(engine: Engine) -> None:
    """Nobody knows when the provider counted it, or whether it still will."""
    rate = rate_of(engine, Pace(1, 1.0), patience_s=0)
    [turn] = rate.wait(1)
    turn.began = time.monotonic()

    rate.give_back([turn])

    assert rate.wait(1) == []


def test_fewer_mails_a_second_hold_at_once(engine: Engine) -> None:
    """An operator lowers the limit while a batch runs."""
    rate_of(engine, Pace(10, 1.0)).wait(1)
    set_free(engine, "-1 second")
    fewer = rate_of(engine, Pace(2, 1.0), patience_s=0)

    taken = [turn for _ in range(10) for turn in fewer.wait(10)]

    assert sorted(turn.place for turn in taken) == [0, 1]


def test_nothing_goes_while_nothing_is_allowed(engine: Engine) -> None:
    """0 in the UI is a stop."""
    assert rate_of(engine, None, patience_s=0).wait(5) == []


def rate_of(engine: Engine, pace: Pace | None, **changes: float) -> SqlRate:
    return SqlRate(engine, "ses/1/eu-west-1", pace=lambda: pace, **changes)


def set_free(engine: Engine, after: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"update turn set free_at = clock_timestamp() + interval '{after}'"))
