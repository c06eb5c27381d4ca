"""Listener of the inbound queue: one flow run for each e-mail, acknowledged last.

    receive ─> join the notices of one e-mail ─> ledger ─> run, got or created ─> executed here ─> delete
                                                                  │
                                   failed, left alone or stopped ─┴─> the messages go back to the queue

S3 notifies of the object and SES of the delivery; the two notices are one e-mail. A notice from S3 waits briefly for
that of SES, which has the recipients, and is processed without it if none comes.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from deployments.worker.acknowledging import Acknowledger
from deployments.worker.gates import Gate, OpenGate
from deployments.worker.health import Health
from deployments.worker.lanes import Lanes
from deployments.worker.queue_listener import BATCH, QueueListener, RunFailedError, Timing
from deployments.worker.runs import InboundRuns, NextStep, next_step
from mailroom.archive.mail_manifests import keep_unopened
from mailroom.domain.errors import Reason
from mailroom.domain.inbound.notifications import UnreadableNotification, read_notices
from mailroom.domain.inbound.other_notices import OtherNotice
from mailroom.domain.inbound.received_email import CANCELLED, FINAL, Arrival, Entry, ObjectRef, State
from mailroom.ports.ledger import Lease, Ledger
from mailroom.ports.manifests import Manifests
from mailroom.ports.other_notices import OtherNotices
from mailroom.ports.queue import Queue, Received
from mailroom.ports.roster import Roster

logger = logging.getLogger("mailroom.listener")


@dataclass(slots=True)
class Notice:
    """One message of the queue, and how many of its e-mails are not done yet."""

    message: Received
    open: int


@dataclass(slots=True)
class Job:
    """One e-mail in process: what is known of it, and its notices."""

    arrival: Arrival
    notices: list[Notice]
    noticed: asyncio.Event = field(default_factory=asyncio.Event)
    entry: Entry | None = None
    gone: bool = False


class Listener(QueueListener):
    """Receives, runs and acknowledges e-mails.

    It receives while it has fewer than `limit` + 10 e-mails in process: one e-mail has two messages and needs a run before
    it can start, so some must wait in the executor for a free slot never to wait for the queue.
    """

    def __init__(
        self,
        queue: Queue,
        ledger: Ledger,
        runs: InboundRuns,
        lanes: Lanes,
        health: Health,
        roster: Roster,
        manifests: Manifests,
        *,
        worker: str,
        limit: int,
        timing: Timing | None = None,
        gate: Gate | OpenGate | None = None,
        other_notices: OtherNotices | None = None,
    ) -> None:
        super().__init__(queue, health, limit=limit, timing=timing, gate=gate)
        self._signed: str | None = None
        self._ledger, self._runs, self._lanes = ledger, runs, lanes
        self._roster, self._manifests, self._worker = roster, manifests, worker
        self._other_notices, self._others = other_notices, Counter[OtherNotice]()
        self._acks = Acknowledger(queue)
        self._jobs: dict[tuple[str, str, str], Job] = {}
        self._over = asyncio.Event()
        self._beside: list[asyncio.Task[None]] = []

    async def _begin(self) -> None:
        self._beside = [asyncio.create_task(self._heartbeat()), asyncio.create_task(self._acks.run())]

    async def _end(self) -> None:
        beat, acks = self._beside
        self._over.set()
        await beat
        await self._acks.stop()
        await acks
        await _survive(self._roster.leave, self._worker)

    def _room(self) -> int:
        # E-mails that wait for the isolated lane must not keep others from being received.
        waiting = sum(job.entry is None or job.entry.deaths == 0 for job in self._jobs.values())
        return 0 if waiting >= self._gate.most(self._limit) + BATCH else BATCH

    async def _take(self, received: Sequence[Received]) -> None:
        # SES's notification first: where both came together, S3's need not wait for it.
        for message in sorted(received, key=lambda one: "notificationType" not in one.body):
            self._accept(message)
        if self._others and self._other_notices is not None:
            counted, self._others = self._others, Counter()
            await _survive(self._other_notices.count, counted, now=_now())

    async def _held(self) -> str | None:
        """Return why an operator has paused this deployment; the roster shows it at once."""
        held = await super()._held()
        if self._gate.all_held != self._signed:
            await self._sign()
        return held

    def _accept(self, message: Received) -> None:
        try:
            notices = read_notices(message.body)
        except UnreadableNotification:
            logger.error("message %s cannot be read and goes to the dead-letter queue", message.message_id)
            return
        if message.receive_count <= 1:
            self._others.update(notices.others)
        if not notices.arrivals:
            self._acks.delete(message.receipt_handle)
        notice = Notice(message, open=len(notices.arrivals))
        for arrival in notices.arrivals:
            self._join(arrival, notice)

    def _join(self, arrival: Arrival, notice: Notice) -> None:
        key = self._key_of(arrival.ref)
        job = self._jobs.get(key)
        if job is None:
            job = self._jobs[key] = Job(arrival, [notice])
            self._spawn(self._work(key, job), name=f"mail-{arrival.ref.message_id}")
        else:
            job.notices.append(notice)
            job.arrival = _richer(job.arrival, arrival)
        if job.arrival.envelope is not None:
            job.noticed.set()

    def _key_of(self, ref: ObjectRef) -> tuple[str, str, str]:
        """Return the key of the job for `ref`: notices join by object, but two versions are two e-mails."""
        job = self._jobs.get((ref.bucket, ref.key, ""))
        other = job is not None and job.arrival.ref.version and ref.version and job.arrival.ref.version != ref.version
        return ref.bucket, ref.key, ref.version if other else ""

    async def _work(self, key: tuple[str, str, str], job: Job) -> None:
        try:
            if await self._outlast(partial(self._try, job)) is NextStep.DONE:
                self._acknowledge(job)
            else:
                await self._hide(job, self._timing.leave_for_s)
        except RunFailedError:
            await self._give_back(job, 0 if self._stopping.is_set() else self._timing.retry_after_s)
        except asyncio.CancelledError:
            await asyncio.shield(self._give_back(job, 0))
            raise
        finally:
            del self._jobs[key]
            self._freed.set()

    def _acknowledge(self, job: Job) -> None:
        """Delete the messages of this e-mail; a message with several e-mails is deleted after the last of them."""
        for notice in job.notices:
            notice.open -= 1
            if notice.open == 0:
                self._acks.delete(notice.message.receipt_handle)

    async def _try(self, job: Job) -> NextStep:
        """Process the e-mail, and return DONE or LEAVE.

        Raises:
            RunFailedError: the run did not complete, for any reason.
        """
        try:
            done = await self._process(job)
        except Exception as error:
            logger.warning("mail %s failed: %s", job.arrival.ref.message_id, type(error).__name__)
            raise RunFailedError from error
        if done is NextStep.RUN:
            raise RunFailedError
        return done

    async def _process(self, job: Job) -> NextStep:
        """Run one e-mail to the end of its flow run; DONE means that its messages may be deleted."""
        if job.arrival.envelope is None:
            await self._wait_for_notice(job)
        while True:
            known, notices = job.arrival, len(job.notices)
            async with self._gate.slot():
                done = await self._process_known(job, known)
            # SES's notification came while the mail was filed without it: it may name more recipients, or a virus.
            named = known.envelope is None and job.arrival.envelope is not None
            # Another notice came after no object was found: the object may be there now.
            renotified = job.gone and len(job.notices) > notices
            if done is not NextStep.DONE or not (named or renotified):
                return done

    async def _process_known(self, job: Job, arrival: Arrival) -> NextStep:
        claim = Lease(self._worker, stale_before=_now() - timedelta(seconds=self._timing.stale_s))
        job.entry = entry = await asyncio.to_thread(self._ledger.register, arrival, now=_now(), claim=claim)
        if entry is None:
            return NextStep.LEAVE
        if entry.state in FINAL:
            await self._settle(job, entry)
            return NextStep.DONE
        run = await self._runs.get_or_create(entry)
        step = next_step(run.state)
        if step is NextStep.DROP:
            close = self._ledger.close
            await asyncio.to_thread(keep_unopened, entry, CANCELLED, manifests=self._manifests)
            await asyncio.to_thread(close, entry.id, State.FAILED, now=_now(), reason=CANCELLED)
            return NextStep.DONE
        if step is NextStep.LEAVE:
            await asyncio.to_thread(self._ledger.release, entry.id, worker=self._worker)
            return step
        # A Completed run runs again while its ledger line is open, for the ledger decides: the line was reopened, or the
        # database was restored to a time before the run.
        await self._lanes.execute(run, entry)
        closed = await asyncio.to_thread(self._ledger.find, entry.id)
        job.gone = closed is not None and closed.reason == Reason.GONE
        return NextStep.DONE if closed is not None and closed.state in FINAL else NextStep.RUN

    async def _settle(self, job: Job, entry: Entry) -> None:
        """End the run as the ledger says, for a redelivered message: the worker that ran it may have stopped before that."""
        if all(notice.message.receive_count == 1 for notice in job.notices):
            return
        try:
            await self._runs.settle(entry, stale_s=self._timing.stale_s)
        except Exception as error:  # noqa: BLE001 - the ledger has decided; what Prefect shows keeps no message
            logger.warning("the state of the run of %s cannot be set: %s", entry.ref.message_id, type(error).__name__)

    async def _wait_for_notice(self, job: Job) -> None:
        try:
            await asyncio.wait_for(job.noticed.wait(), self._timing.notice_grace_s)
        except TimeoutError:
            logger.warning(
                "no SES notification for %s; its recipients are read from its headers", job.arrival.ref.message_id
            )

    async def _give_back(self, job: Job, seconds: int) -> None:
        """Return the messages of this e-mail to the queue, visible to any worker after `seconds`."""
        if job.entry is not None:
            await _survive(self._ledger.release, job.entry.id, worker=self._worker)
        await self._hide(job, seconds)

    async def _hide(self, job: Job, seconds: int) -> None:
        await _survive(self._queue.hide, [notice.message.receipt_handle for notice in job.notices], seconds=seconds)

    async def _heartbeat(self) -> None:
        """Extend the visibility timeouts of the messages and the leases in the ledger; a failure of one does not stop the other."""
        while not self._over.is_set():
            jobs = list(self._jobs.values())
            receipts = [notice.message.receipt_handle for job in jobs for notice in job.notices]
            emails = [job.entry.id for job in jobs if job.entry is not None]
            await _survive(self._queue.hide, receipts, seconds=self._timing.visibility_s)
            await _survive(self._ledger.heartbeat, emails, worker=self._worker, now=_now())
            await self._sign()
            # Not cancelled midway: a heartbeat under way would arrive after the lease was released.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), self._timing.beat_s)

    async def _sign(self) -> None:
        await self._gate.held()
        values = {"paused_by": self._health.paused_by, "held_by": self._gate.all_held}
        self._signed = self._gate.all_held
        await _survive(self._roster.heartbeat, self._worker, now=_now(), in_hand=len(self._jobs), **values)


def _richer(one: Arrival, other: Arrival) -> Arrival:
    """Return both notices merged: SES's envelope, S3's version."""
    version = one.ref.version or other.ref.version
    ref = one.ref if one.ref.version == version else other.ref
    return Arrival(ref, one.envelope or other.envelope)


async def _survive(call: Callable[..., object], *args: object, **kwargs: object) -> None:
    """Call in a thread; a failure is logged and repaired by the visibility timeout or the next heartbeat."""
    try:
        await asyncio.to_thread(call, *args, **kwargs)
    except Exception as error:  # noqa: BLE001 - these calls only make things better sooner
        logger.warning("%s failed: %s", getattr(call, "__name__", "call"), type(error).__name__)


def _now() -> datetime:
    return datetime.now(UTC)
