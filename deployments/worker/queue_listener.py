"""The base of queue listeners: receives while there is room, processes messages, acknowledges last.

    held by an operator? ─> room? ─> healthy? ─> receive ─> tasks, each leaves its messages deleted or given back

During an outage of a service that the work needs, nothing is received, so that receive counts do not rise. The two
subclasses define what a queue's messages mean and when they may be deleted.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from deployments.worker.draining import drain
from deployments.worker.gates import Gate, OpenGate
from deployments.worker.health import Health
from mailroom.domain.errors import MailroomError
from mailroom.ports.queue import Queue, Received

#: The most messages in one receive.
BATCH = 10
#: Seconds between checks of a paused gate.
_HELD_S = 0.5
#: Seconds to wait after a failed receive.
_UNREAD_S = 1.0

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Timing:
    """A listener's intervals, in seconds. `of` derives all of them from the worker's heartbeat."""

    long_poll_s: int = 3
    visibility_s: int = 60
    beat_s: float = 15.0
    stale_s: float = 45.0
    notice_grace_s: float = 5.0
    stop_patience_s: float = 4.0
    retry_after_s: int = 30
    leave_for_s: int = 60

    @classmethod
    def of(cls, beat_s: float) -> "Timing":
        """Return the intervals of a worker with a heartbeat every `beat_s` seconds; 15 gives the defaults."""
        visibility_s, retry_s = max(1, round(4 * beat_s)), max(1, round(2 * beat_s))
        return cls(
            visibility_s=visibility_s,
            beat_s=beat_s,
            stale_s=3 * beat_s,
            notice_grace_s=min(5.0, beat_s),
            retry_after_s=retry_s,
            leave_for_s=visibility_s,
        )


class RunFailedError(Exception):
    """The run of a message did not complete; the message is redelivered."""


class QueueListener(ABC):
    """Receives from one queue, processes its messages, and waits during outages."""

    logger = logging.getLogger("mailroom.listener")
    #: Log message for a failed receive; its one `%s` is the error.
    unread = "the queue cannot be read: %s"

    def __init__(
        self, queue: Queue, health: Health, *, limit: int, timing: Timing | None, gate: Gate | OpenGate | None
    ) -> None:
        self._gate: Gate | OpenGate = gate or OpenGate()
        self._queue, self._health = queue, health
        self._limit, self._timing = limit, timing or Timing()
        self._tasks: set[asyncio.Task[None]] = set()
        self._freed, self._stopping = asyncio.Event(), asyncio.Event()

    @property
    def health(self) -> Health:
        """The health of the services that it needs."""
        return self._health

    async def run(self) -> None:
        """Listen until `stop` is called."""
        await self._begin()
        try:
            while not self._stopping.is_set():
                await self._listen_once()
        finally:
            # Cancelled tasks return their messages to the queue.
            await drain(self._tasks, patience_s=self._timing.stop_patience_s)
            await self._end()

    def stop(self) -> None:
        """Receive no more; messages that are not finished soon go back to the queue."""
        self._stopping.set()
        self._freed.set()

    @abstractmethod
    async def _begin(self) -> None:
        """Start the background tasks."""

    @abstractmethod
    async def _end(self) -> None:
        """End the background tasks, once nothing is under way any more."""

    @abstractmethod
    def _room(self) -> int:
        """Return how many more messages may be received now; at 0, a task that ends sets `_freed`."""

    @abstractmethod
    async def _take(self, received: Sequence[Received]) -> None:
        """Begin to process the received messages."""

    async def _held(self) -> str | None:
        """Return why an operator has paused this deployment; None: not paused."""
        return await self._gate.held()

    async def _listen_once(self) -> None:
        if await self._held() is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _HELD_S)
            return
        if (room := self._room()) <= 0:
            self._freed.clear()
            await self._freed.wait()
            return
        if not await self._health.ready(self._stopping):
            return
        most, wait_s = min(room, BATCH), self._timing.long_poll_s
        try:
            received = await asyncio.to_thread(self._queue.receive, most=most, wait_s=wait_s)
        except MailroomError as error:
            self.logger.warning(self.unread, error)
            self._health.suspect()
            await asyncio.sleep(_UNREAD_S)
            return
        await self._take(received)

    def _spawn(self, work: Coroutine[Any, Any, None], *, name: str | None = None) -> None:
        """Run `work` in a task that a stop waits for, and cancels in the end."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _outlast(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Await `work`, and again after an outage: the message keeps its slot and its receive count."""
        while True:
            outlasted = self._health.outlasted
            try:
                return await work()
            except Exception:
                self._health.suspect()
                if not await self._health.ready(self._stopping) or self._health.outlasted == outlasted:
                    raise
