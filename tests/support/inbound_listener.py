"""A listener's surroundings in tests: a queue in memory, the real ledger, and stand-ins for Prefect that record calls."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Completed, Pending

from deployments.worker.health import Health
from deployments.worker.listener import Listener
from deployments.worker.queue_listener import Timing
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.inbound.other_notices import SqlOtherNotices
from mailroom.adapters.postgres.operations.roster import SqlRoster
from mailroom.domain.errors import PermanentError, TransientError
from mailroom.domain.inbound import received_email as inbound
from mailroom.domain.inbound.received_email import Entry, ObjectRef
from mailroom.ports.queue import Received
from mailroom.testing.clock import Clock
from mailroom.testing.manifests import MemoryManifests
from mailroom.testing.notices import s3_notice, ses_notice
from mailroom.testing.queue import MemoryQueue
from tests.support.patience import PATIENCE_S

QUICK = Timing(
    long_poll_s=0,
    visibility_s=45,
    beat_s=30.0,
    notice_grace_s=0.1,
    stop_patience_s=2.0,
    retry_after_s=30,
    leave_for_s=60,
)
PATIENT = replace(QUICK, notice_grace_s=5.0)


def ref(name: str = "abc123") -> ObjectRef:
    return ObjectRef("mails", f"in/{name}")


def from_s3(*names: str) -> str:
    return s3_notice(*(ref(name) for name in names or ("abc123",)))


def from_ses(name: str = "abc123") -> str:
    return ses_notice(ref(name), "anna@acme.test")


class WatchedQueue(MemoryQueue):
    """Remembers for how long messages were hidden; fails to hide while `broken`, to receive `unreadable` times."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(visibility_s=45, clock=clock)
        self.hidden_for: list[int] = []
        self.broken = False
        self.unreadable = 0

    def receive(self, *, most: int, wait_s: int) -> list[Received]:
        if self.unreadable:
            self.unreadable -= 1
            raise TransientError("AWS cannot be reached", service="sqs")
        return super().receive(most=most, wait_s=wait_s)

    def hide(self, receipts: Sequence[str], *, seconds: int) -> None:
        if self.broken:
            self.broken = False
            raise PermanentError("AWS refused", service="sqs", code="ExpiredToken")
        super().hide(receipts, seconds=seconds)
        self.hidden_for += [seconds] * len(receipts)


class Runs:
    """Stands in for InboundRuns: a run for each object, in the state that the test gives it."""

    def __init__(self) -> None:
        self.asked: list[ObjectRef] = []
        self.settled: list[ObjectRef] = []
        self.broken = False
        self.state: State = Pending()

    async def get_or_create(self, entry: Entry) -> FlowRun:
        self.asked.append(entry.ref)
        return FlowRun(flow_id=uuid4(), name=entry.ref.message_id, state=self.state)

    async def settle(self, entry: Entry, *, stale_s: float) -> None:
        self.settled.append(entry.ref)
        if self.broken:
            raise ConnectionError


class Lanes:
    """Stands in for Lanes: records what it ran, and ends as the test says.

    A run that ends Completed has filed its mail, as the flow does; not while it does not `file`.
    """

    def __init__(self, ledger: SqlLedger) -> None:
        self.ran: list[str] = []
        self.files = True
        self.ending: Callable[[FlowRun], Awaitable[State | None]] = lambda run: asyncio.sleep(0, Completed())
        self._ledger = ledger

    async def execute(self, run: FlowRun, entry: Entry) -> State | None:
        self.ran.append(run.name)
        state = await self.ending(run)
        if self.files and state is not None and state.is_completed():
            self._ledger.close(entry.id, inbound.State.FILED, now=datetime.now(UTC))
        return state


class WatchedHealth(Health):
    """Health without probes, always healthy, that counts the suspicions."""

    def __init__(self) -> None:
        super().__init__({})
        self.suspicions = 0

    def suspect(self) -> None:
        self.suspicions += 1
        super().suspect()


@dataclass
class Desk:
    """A listener's surroundings."""

    ledger: SqlLedger
    clock: Clock = field(default_factory=Clock)
    runs: Runs = field(default_factory=Runs)
    health: WatchedHealth = field(default_factory=WatchedHealth)

    def __post_init__(self) -> None:
        self.queue = WatchedQueue(self.clock)
        self.roster = SqlRoster(self.ledger._engine)
        self.manifests = MemoryManifests()
        self.executor = Lanes(self.ledger)

    def listen(self, until: Callable[[], bool], timing: Timing = QUICK) -> float:
        """Have a listener run until something holds, stop it, and return how long it took to stop, in seconds."""
        return asyncio.run(self._listen(until, timing))

    async def _listen(self, until: Callable[[], bool], timing: Timing) -> float:
        parts: Any = self.queue, self.ledger, self.runs, self.executor, self.health, self.roster, self.manifests
        others = SqlOtherNotices(self.ledger._engine)
        listener = Listener(*parts, worker="this", limit=10, timing=timing, other_notices=others)
        running = asyncio.create_task(listener.run())
        await holds(lambda: until() or running.done())
        stopped_at = time.monotonic()
        listener.stop()
        await running
        return time.monotonic() - stopped_at

    def came_back(self, *, after_s: float = 0) -> list[tuple[str, int]]:
        """Return body and receive count of what is visible after a while."""
        self.clock.now += after_s
        return [(one.body, one.receive_count) for one in self.queue.receive(most=10, wait_s=0)]

    def left(self, seconds: int, *, messages: int = 1) -> Callable[[], bool]:
        """Return a condition: `messages` messages were hidden for `seconds`."""
        return lambda: self.queue.hidden_for.count(seconds) >= messages

    def empty(self) -> bool:
        return len(self.queue) == 0

    def entry(self, name: str = "abc123") -> Entry:
        entry = self.ledger.find(name)
        assert entry is not None
        return entry

    def ends(self, last: State | None, noted: inbound.State, reason: str) -> None:
        """Have runs end with this state, after the ledger recorded how processing ended."""

        async def ending(run: FlowRun) -> State | None:
            self.ledger.close(self.entry(run.name).id, noted, now=datetime.now(UTC), reason=reason)
            return last

        self.executor.ending = ending


async def holds(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


async def holds_on_server(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something to hold that a Prefect server does by itself, however slow it is."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            await asyncio.sleep(0.2)
