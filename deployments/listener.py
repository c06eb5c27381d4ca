"""From the inbound queue to flow runs: each e-mail one run, acknowledged last.

    receive ─> join the notices of one e-mail ─> ledger ─> run, got or created ─> executed here ─> delete
                                                                  │
                                   failed, left alone or stopped ─┴─> the messages go back to the queue

S3 tells of the object and SES tells of the delivery; both together are one e-mail. A notice from S3 alone waits a moment
for SES's, which has the recipients, and goes on without it when it does not come.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from deployments.acknowledging import Acknowledger
from deployments.executor import WarmExecutor
from deployments.health import Health
from deployments.runs import InboundRuns, Next, next_step
from mailroom.domain.errors import TransientError
from mailroom.domain.inbound import FINAL, Arrival, Entry
from mailroom.domain.notifications import UnreadableNotification, read_notification
from mailroom.ports import Claim, Ledger, Queue, Received

logger = logging.getLogger("mailroom.listener")

#: What one receive brings at most.
_BATCH = 10


@dataclass(frozen=True, slots=True)
class Timing:
    """The listener's clock, in seconds."""

    long_poll_s: int = 5
    visibility_s: int = 60
    beat_s: float = 15.0
    stale_s: float = 45.0
    notice_grace_s: float = 5.0
    stop_patience_s: float = 7.0
    retry_after_s: int = 30
    leave_for_s: int = 60


@dataclass(slots=True)
class Job:
    """One e-mail in hand: its notices, and the messages that are deleted when it is done."""

    arrival: Arrival
    messages: list[Received]
    noticed: asyncio.Event = field(default_factory=asyncio.Event)
    entry: Entry | None = None


class Listener:
    """Receives, runs and acknowledges.

    It has up to `limit` e-mails in hand before it receives the next ten messages; those that do not run yet wait in
    the executor, so that a free slot never waits for the queue.
    """

    def __init__(
        self,
        queue: Queue,
        ledger: Ledger,
        runs: InboundRuns,
        executor: WarmExecutor,
        health: Health,
        *,
        worker: str,
        limit: int,
        timing: Timing | None = None,
    ) -> None:
        self._queue, self._ledger, self._runs, self._executor, self._health = queue, ledger, runs, executor, health
        self._worker = worker
        self._limit = limit
        self._timing = timing or Timing()
        self._acks = Acknowledger(queue)
        self._jobs: dict[tuple[str, str], Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Listen until `stop` is called."""
        beat = asyncio.create_task(self._beat())
        acks = asyncio.create_task(self._acks.run())
        try:
            while not self._stopping.is_set():
                await self._listen_once()
        finally:
            await self._drain()
            beat.cancel()
            await self._acks.stop()
            await acks

    def stop(self) -> None:
        """Receive no more; give what is not finished soon back to the queue."""
        self._stopping.set()
        self._freed.set()

    async def _listen_once(self) -> None:
        free = self._limit + _BATCH - len(self._jobs)
        if free < _BATCH:
            self._freed.clear()
            await self._freed.wait()
            return
        if not await self._health.ready(self._stopping):
            return
        try:
            received = await asyncio.to_thread(self._queue.receive, most=_BATCH, wait_s=self._timing.long_poll_s)
        except TransientError as error:
            logger.warning("the queue cannot be read: %s", error)
            await asyncio.sleep(1)
            return
        # SES's notification first: where both came together, nobody has to wait for it.
        for message in sorted(received, key=lambda one: "notificationType" not in one.body):
            await self._accept(message)

    async def _accept(self, message: Received) -> None:
        try:
            arrivals = read_notification(message.body)
        except UnreadableNotification:
            logger.error("message %s is not understood; it goes to the dead-letter queue", message.message_id)
            return
        if not arrivals:
            await self._acks.delete([message])
        for arrival in arrivals:
            self._join(arrival, message)

    def _join(self, arrival: Arrival, message: Received) -> None:
        key = arrival.ref.bucket, arrival.ref.key
        job = self._jobs.get(key)
        if job is None:
            job = self._jobs[key] = Job(arrival, [message])
            task = asyncio.create_task(self._work(key, job), name=f"mail-{arrival.ref.message_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            job.messages.append(message)
            job.arrival = _richer(job.arrival, arrival)
        if job.arrival.envelope is not None:
            job.noticed.set()

    async def _work(self, key: tuple[str, str], job: Job) -> None:
        hide_s = 0
        try:
            done = await self._process(job)
            hide_s = self._timing.leave_for_s if done is Next.LEAVE else self._timing.retry_after_s
            if done is Next.DONE:
                await self._acks.delete(job.messages)
                return
            await self._give_back(job, hide_s)
        except asyncio.CancelledError:
            await asyncio.shield(self._give_back(job, 0))
            raise
        except Exception as error:  # noqa: BLE001 - the loop must survive whatever one mail does
            logger.warning("mail %s goes back to the queue: %s", job.arrival.ref.message_id, type(error).__name__)
            self._health.suspect()
            await self._give_back(job, self._timing.retry_after_s)
        finally:
            del self._jobs[key]
            self._freed.set()

    async def _process(self, job: Job) -> Next:
        """Take one e-mail to the end of its run; DONE means that its messages may be deleted."""
        if job.arrival.envelope is None:
            await self._wait_for_notice(job)
        claim = Claim(self._worker, stale_before=_now() - timedelta(seconds=self._timing.stale_s))
        job.entry = entry = await asyncio.to_thread(self._ledger.register, job.arrival, now=_now(), claim=claim)
        if entry is None:
            return Next.LEAVE
        if entry.state in FINAL:
            return Next.DONE
        run = await self._runs.get_or_create(entry.ref)
        step = next_step(run.state)
        if step is not Next.RUN:
            return step
        state = await self._executor.execute(run)
        if state is not None and state.is_completed():
            return Next.DONE
        closed = await asyncio.to_thread(self._ledger.find, entry.id)
        return Next.DONE if closed is not None and closed.state in FINAL else Next.RUN

    async def _wait_for_notice(self, job: Job) -> None:
        try:
            await asyncio.wait_for(job.noticed.wait(), self._timing.notice_grace_s)
        except TimeoutError:
            logger.warning("no SES notification for %s; its own headers decide", job.arrival.ref.message_id)

    async def _give_back(self, job: Job, seconds: int) -> None:
        receipts = [message.receipt for message in job.messages]
        try:
            await asyncio.to_thread(self._queue.hide, receipts, seconds=seconds)
        except TransientError as error:
            logger.warning("messages come back by their visibility timeout: %s", error)

    async def _beat(self) -> None:
        """Keep what is in hand invisible in the queue and claimed in the ledger."""
        while True:
            await asyncio.sleep(self._timing.beat_s)
            jobs = list(self._jobs.values())
            receipts = [message.receipt for job in jobs for message in job.messages]
            emails = [job.entry.id for job in jobs if job.entry is not None]
            try:
                await asyncio.to_thread(self._queue.hide, receipts, seconds=self._timing.visibility_s)
                await asyncio.to_thread(self._ledger.beat, emails, worker=self._worker, now=_now())
            except TransientError as error:
                logger.warning("visibility could not be extended: %s", error)

    async def _drain(self) -> None:
        """Let what is under way end, for a while; then cancel it, which gives its messages back."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=self._timing.stop_patience_s)
        late = list(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


def _richer(one: Arrival, other: Arrival) -> Arrival:
    """Return what both notices say together: SES's envelope, S3's version."""
    version = one.ref.version or other.ref.version
    ref = one.ref if one.ref.version == version else other.ref
    return Arrival(ref, one.envelope or other.envelope)


def _now() -> datetime:
    return datetime.now(UTC)
