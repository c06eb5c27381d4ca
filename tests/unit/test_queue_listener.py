"""Common behaviour of both listeners: when they receive, how they wait through outages, and how they stop."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import wraps
from typing import Any, ParamSpec

import pytest

from deployments.worker import health, queue_listener
from deployments.worker.gates import OpenGate
from deployments.worker.health import Health
from deployments.worker.queue_listener import QueueListener, RunFailedError, Timing
from mailroom.domain.errors import TransientError
from mailroom.ports.queue import Received
from mailroom.testing.queue import MemoryQueue

P = ParamSpec("P")

QUICK = replace(Timing(), long_poll_s=0, stop_patience_s=0.05)


def looped(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test in a new event loop."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_LOOK_AGAIN_S", 0.01)
    monkeypatch.setattr(queue_listener, "_HELD_S", 0.01)
    monkeypatch.setattr(queue_listener, "_UNREAD_S", 0.01)


class HeldGate(OpenGate):
    """A gate that is held while `why` is set."""

    why: str | None = None

    async def held(self) -> str | None:
        return self.why


class Desk(QueueListener):
    """A listener that keeps what it received, `room` messages at most; `work` is done for each."""

    def __init__(self, queue: MemoryQueue, *, room: int = 10, works: bool = True) -> None:
        self.fault: Exception | None = None
        self.probes = 0
        self.held_by = HeldGate()
        super().__init__(queue, Health({"S3": self._probe}), limit=room, timing=QUICK, gate=self.held_by)
        self.taken: list[str] = []
        self.ended: list[str] = []
        self.story: list[str] = []
        self.works = works

    def _probe(self) -> None:
        self.probes += 1
        if self.fault is not None:
            raise self.fault

    async def _begin(self) -> None:
        self.story.append("begun")

    async def _end(self) -> None:
        self.story.append("ended")

    def _room(self) -> int:
        return self._limit - (len(self.taken) - len(self.ended))

    async def _take(self, received: Sequence[Received]) -> None:
        for message in received:
            self.taken.append(message.body)
            self._spawn(self._work(message))

    async def _work(self, message: Received) -> None:
        try:
            await (asyncio.sleep(0) if self.works else asyncio.sleep(60))
            self.ended.append(message.body)
        except asyncio.CancelledError:
            self.ended.append(f"{message.body} given back")
            raise
        finally:
            self._freed.set()


@asynccontextmanager
async def listening(desk: Desk) -> AsyncIterator[None]:
    task = asyncio.create_task(desk.run())
    try:
        yield
    finally:
        desk.stop()
        await asyncio.wait_for(task, 10)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


def queue_of(*bodies: str) -> MemoryQueue:
    queue = MemoryQueue()
    for body in bodies:
        queue.send(body)
    return queue


@looped
async def test_held_listener_receives_nothing_until_it_is_released() -> None:
    """A hold by an operator must use up no receive counts."""
    desk = Desk(queue_of("one"))
    desk.held_by.why = "paused in Prefect"

    async with listening(desk):
        await asyncio.sleep(0.1)
        held = list(desk.taken)
        desk.held_by.why = None
        await until(lambda: desk.taken)

    assert held == []
    assert desk.taken == ["one"]


@looped
async def test_full_listener_leaves_the_rest_in_the_queue() -> None:
    """Other workers may receive it; a message that waits in memory only uses up a receive count."""
    queue = queue_of("one", "two", "three")
    desk = Desk(queue, room=2, works=False)

    async with listening(desk):
        await until(lambda: desk.taken)
        await asyncio.sleep(0.05)
        left = queue.waiting()

    assert desk.taken == ["one", "two"]
    assert left == 1


@looped
async def test_room_that_is_freed_is_used() -> None:
    desk = Desk(queue_of(*map(str, range(25))), room=2)

    async with listening(desk):
        await until(lambda: len(desk.ended) == 25)

    assert sorted(map(int, desk.taken)) == list(range(25))


@looped
async def test_nothing_is_received_in_an_outage() -> None:
    """An outage of hours must not send mail to the dead letters."""
    desk = Desk(queue_of("one"))
    desk.fault = TransientError("S3 does not answer")

    async with listening(desk):
        await until(lambda: desk.probes > 2)
        away = list(desk.taken)
        desk.fault = None
        await until(lambda: desk.taken)

    assert away == []


@looped
async def test_queue_that_cannot_be_read_is_read_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Health is checked too, because other services may be down with the queue."""
    queue = queue_of("one")
    desk, receive, faults = Desk(queue), queue.receive, [TransientError("SQS does not answer")]

    def shaky(*, most: int, wait_s: int) -> list[Received]:
        if faults:
            raise faults.pop()
        return receive(most=most, wait_s=wait_s)

    monkeypatch.setattr(queue, "receive", shaky)
    with caplog.at_level(logging.WARNING, logger="mailroom.listener"):
        async with listening(desk):
            await until(lambda: desk.taken)

    assert desk.probes == 2
    assert "the queue cannot be read: SQS does not answer" in caplog.text


@looped
async def test_stop_releases_what_does_not_end_soon() -> None:
    """Background loops end last: heartbeats must last as long as the work."""
    desk = Desk(queue_of("one"), works=False)

    async with listening(desk):
        await until(lambda: desk.taken)

    assert desk.ended == ["one given back"]
    assert desk.story == ["begun", "ended"]


@looped
async def test_full_listener_can_be_stopped() -> None:
    """It waits for room that will not become free."""
    desk = Desk(queue_of("one"), room=1, works=False)

    async with listening(desk):
        await until(lambda: desk.taken)
        await asyncio.sleep(0.05)

    assert desk.story[-1] == "ended"


@looped
async def test_work_that_failed_in_an_outage_is_done_again() -> None:
    """It keeps its place and its receive count; work that failed without an outage returns to the queue."""
    desk, tries = Desk(queue_of()), list[int]()

    async def work() -> str:
        tries.append(len(tries))
        if len(tries) == 1:
            desk.fault = TransientError("S3 does not answer")
            asyncio.get_running_loop().call_later(0.05, setattr, desk, "fault", None)
            raise RunFailedError
        return "done"

    async def fails() -> str:
        raise RunFailedError

    assert await desk._outlast(work) == "done"
    assert tries == [0, 1]
    with pytest.raises(RunFailedError):
        await desk._outlast(fails)
