"""Loops that outlive an outage, and the pauses between their steps."""

import asyncio
import logging
import threading
from collections.abc import Callable

import pytest

from mailroom.domain.errors import TransientError
from mailroom.operations.loops import Backoff, SteadyLoop, every, wait_until

log = logging.getLogger("mailroom.tests.loops")


def scripted(stop: threading.Event, *steps: Exception | float) -> Callable[[], float]:
    """Return a step that raises or returns these in turn, and stops the loop with the last."""
    left = list(steps)

    def step() -> float:
        one = left.pop(0)
        if not left:
            stop.set()
        if isinstance(one, Exception):
            raise one
        return one

    return step


def test_outage_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """An outage of hours must not fill the log, and an operator must see that it is over."""
    caplog.set_level(logging.INFO)
    stop, away = threading.Event(), TransientError("the database does not answer")
    step = scripted(stop, 0, away, away, 0, 0, away, 0)

    SteadyLoop(step, log=log, failing="orders wait: %s", again="orders go again", outage_s=0).run(stop)

    waits = "orders wait: the database does not answer"
    assert caplog.messages == [waits, "orders go again", waits, "orders go again"]


def test_text_of_an_unforeseen_error_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It may hold the values of a row: an address, a subject."""
    stop = threading.Event()

    SteadyLoop(scripted(stop, ValueError("ann@x.test")), log=log, failing="waits: %s", outage_s=0).run(stop)

    assert caplog.messages == ["waits: ValueError"]


def test_loop_that_fails_says_so_until_it_works() -> None:
    """Callers that wait for a step check this, so that they do not wait through an outage."""
    stop, seen = threading.Event(), list[bool]()
    steps = scripted(stop, TransientError("away"), 0, 0)

    def step() -> float:
        seen.append(loop.is_failing)
        return steps()

    loop = SteadyLoop(step, log=log, failing="waits: %s", outage_s=0)
    loop.run(stop)

    assert seen == [False, True, False]
    assert not loop.is_failing


def test_stop_ends_the_pause_after_a_failure() -> None:
    """A worker must end within seconds, also while its database is away."""
    stop = threading.Event()

    def step() -> float:
        threading.Timer(0.05, stop.set).start()
        raise TransientError("away")

    thread = threading.Thread(target=SteadyLoop(step, log=log, failing="waits: %s", outage_s=60).run, args=[stop])
    thread.start()
    thread.join(10)

    assert not thread.is_alive()


def test_wake_ends_a_pause_and_counts_once() -> None:
    """Rows that this process wrote are due at once; a used wake must not make the loop spin."""
    stop, wake, steps = threading.Event(), threading.Event(), list[bool]()

    def step() -> float:
        steps.append(wake.is_set())
        if len(steps) == 2:
            stop.set()
            return 0
        wake.set()
        return 60

    SteadyLoop(step, log=log, failing="waits: %s").run(stop, wake=wake)

    assert steps == [False, False]


def test_pause_doubles_up_to_its_longest_and_begins_again() -> None:
    pause = Backoff(0.5, 3)

    assert [pause.pause_s, pause.grow(), pause.grow(), pause.grow(), pause.grow()] == [0.5, 1, 2, 3, 3]
    assert [pause.reset(), pause.grow()] == [0.5, 1]


def test_check_that_fails_is_followed_by_the_next() -> None:
    """These loops run for months beside all else; no failure may end one silently."""
    looks, failures = list[int](), list[str]()

    async def look() -> None:
        looks.append(len(looks))
        if len(looks) == 3:
            raise asyncio.CancelledError
        raise ValueError(len(looks))

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(every(0, look, failed=lambda error: failures.append(str(error))))

    assert looks == [0, 1, 2]
    assert failures == ["1", "2"]


def test_an_error_of_the_failure_handler_ends_the_loop() -> None:
    """So a caller survives only what it recognises as an outage."""

    async def look() -> None:
        raise ValueError("unforeseen")

    def failed(error: Exception) -> None:
        raise error

    with pytest.raises(ValueError, match="unforeseen"):
        asyncio.run(every(0, look, failed=failed))


def test_waiting_ends_with_what_is_waited_for() -> None:
    left = [False, False, True]

    assert wait_until(lambda: left.pop(0), within_s=10, every_s=0)
    assert left == []


def test_waiting_ends_when_its_time_is_over() -> None:
    """A condition that already holds counts even with a timeout of zero."""
    assert not wait_until(lambda: False, within_s=0.02, every_s=0.001)
    assert wait_until(lambda: True, within_s=0, every_s=60)
