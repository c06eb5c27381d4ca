"""Listener of the mailbox queue: one flow run for each order of a batch, acknowledged last.

    receive ─┬─> an order ─> its run, got or created ─┬─ due now ──> executed here ─> delete
             │                                        └─ due later ─> Scheduled in the pool ─> delete
             └─> plain mails, all that came together ─> kept as one batch, whose order comes back here ─> delete

An order may come twice, and to two workers: its run is the same, and messages are leased one by one. Unreadable
messages stay, for the dead-letter queue.

Bulk never delays other batches: its runs have separate slots, and orders over its limit go to the end of the queue as
new messages, so that waiting does not raise receive counts.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun

from blocks.outbound import open_outbound
from deployments.worker.decisions import Decisions
from deployments.worker.executor import WarmExecutor
from deployments.worker.gates import Gate, OpenGate
from deployments.worker.health import Health
from deployments.worker.probes import outbound_probes
from deployments.worker.queue_listener import QueueListener, RunFailedError, Timing
from deployments.worker.runs import BatchRuns, NextStep, is_later, next_step, queue_of
from mailroom.domain.errors import Unacceptable
from mailroom.domain.outbound.message import Lane
from mailroom.operations.loops import every
from mailroom.outbound.attachments import AttachmentResolver
from mailroom.outbound.mailbox import BatchOrder, Intake, PlainMail, accept_mails, read
from mailroom.outbound.unknown_outcomes import settle_unknown
from mailroom.ports.queue import Queue, Received
from mailroom.wiring import Installation

logger = logging.getLogger("mailroom.mailbox")

#: Seconds between attempts to settle unknown outcomes, whether or not a batch runs.
_LOOK_AFTER_S = 60.0
#: Seconds between checks of the runs of waiting batches.
_OBEY_S = 10.0

Together = Sequence[tuple[Received, PlainMail]]
#: Handles some messages, and returns those that are done; None is all of them. It may be called again.
Work = Callable[[], Coroutine[Any, Any, Sequence[Received] | None]]


class MailboxListener(QueueListener):
    """Receives orders and plain mails, runs and acknowledges; at most `limit` of bulk and as many others at once."""

    logger = logger
    unread = "the mailbox queue cannot be read: %s"

    def __init__(
        self,
        queue: Queue,
        runs: BatchRuns,
        executor: WarmExecutor,
        health: Health,
        *,
        keep: Callable[[Together], Coroutine[Any, Any, Intake]],
        waits: Callable[[Sequence[str]], Coroutine[Any, Any, object]],
        look_after: Callable[[], Coroutine[Any, Any, object]],
        limit: int,
        timing: Timing | None = None,
        gate: Gate | OpenGate | None = None,
        decisions: Decisions | None = None,
    ) -> None:
        """Take the ports that it works with.

        Args:
            keep: Stores plain mails as a batch.
            waits: Records that these batches have their order and wait, so that no sweep orders them again.
            look_after: Settles unknown outcomes; called each minute.
            gate: The operator's pauses and limits in Prefect.
            decisions: Records an operator's decisions about runs in the ledger.
        """
        super().__init__(queue, health, limit=limit, timing=timing, gate=gate)
        self._decisions, self._runs, self._executor = decisions, runs, executor
        self._keep_plain, self._waits, self._look_after = keep, waits, look_after
        self._in_hand: dict[str, Received] = {}
        self._bulk: set[str] = set()
        self._beside: list[asyncio.Task[None]] = []

    async def _begin(self) -> None:
        loops = [(self._timing.beat_s, self._heartbeat), (_LOOK_AFTER_S, self._look_after)]
        if self._decisions is not None:
            loops.append((_OBEY_S, self._decisions.look))
        self._beside = [asyncio.create_task(every(each_s, look, failed=_failed)) for each_s, look in loops]

    async def _end(self) -> None:
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)

    def _room(self) -> int:
        return self._limit - (len(self._in_hand) - len(self._bulk))

    async def _take(self, received: Sequence[Received]) -> None:
        if behind := self._accept(received):
            await self._survive(self._put_behind(behind))

    def _accept(self, received: Sequence[Received]) -> list[tuple[Received, BatchOrder]]:
        """Begin the messages that have a slot, and return the orders of bulk that have none."""
        plain: list[tuple[Received, PlainMail]] = []
        behind: list[tuple[Received, BatchOrder]] = []
        for message in received:
            try:
                order = read(message.body, message.attributes)
            except Unacceptable as error:
                _not_understood(message.message_id, error)
                continue
            if isinstance(order, PlainMail):
                plain.append((message, order))
            elif order.lane is not Lane.BULK:
                self._begin_work(partial(self._send, order), [message])
            elif len(self._bulk) < self._limit:
                self._bulk.add(message.receipt_handle)
                self._begin_work(partial(self._send, order), [message])
            else:
                behind.append((message, order))
        if plain:
            self._begin_work(partial(self._keep, plain), [message for message, _ in plain])
        return behind

    async def _put_behind(self, orders: Sequence[tuple[Received, BatchOrder]]) -> None:
        """Put orders back as new messages. After a kill in between an order is there twice, which is harmless."""
        bodies = [message.body for message, _ in orders]
        await asyncio.to_thread(self._queue.post, bodies, delay_s=self._timing.retry_after_s)
        await asyncio.to_thread(self._queue.delete, [message.receipt_handle for message, _ in orders])
        await self._waits([order.batch_id for _, order in orders])

    def _begin_work(self, work: Work, messages: Sequence[Received]) -> None:
        self._in_hand |= {message.receipt_handle: message for message in messages}
        self._spawn(self._work(work, messages))

    async def _work(self, work: Work, messages: Sequence[Received]) -> None:
        """Acknowledge the messages that `work` returns; None is all of them. If it raises, all go back to the queue."""
        try:
            done = await self._outlast(work)
            await asyncio.to_thread(
                self._queue.delete, [one.receipt_handle for one in (messages if done is None else done)]
            )
        except asyncio.CancelledError:
            await asyncio.shield(self._hide(messages, 0))
            raise
        except Exception as error:  # noqa: BLE001 - the loop must survive whatever one batch does
            logger.warning("%d messages are returned to the mailbox queue: %s", len(messages), type(error).__name__)
            await self._hide(messages, self._timing.retry_after_s)
        finally:
            for message in messages:
                self._in_hand.pop(message.receipt_handle, None)
                self._bulk.discard(message.receipt_handle)
            self._freed.set()

    async def _send(self, order: BatchOrder) -> None:
        if is_later(order):
            await self._carry_out(order)
        else:
            async with self._gate.slot(queue_of(order)):
                await self._carry_out(order)

    async def _carry_out(self, order: BatchOrder) -> None:
        run = await self._run_of(order)
        step = next_step(run.state) if run is not None else NextStep.DONE
        if run is not None and step is NextStep.DROP and self._decisions is not None:
            await self._decisions.cancelled(run)
        # Scheduled: the pool has it. Completed, cancelled or gone: the order was carried out, or waits for a person.
        if run is None or step is not NextStep.RUN:
            return
        state = await self._executor.execute(run)
        # Paused: a breaker opened; once the run is resumed, the pool continues it.
        if state is None or not (state.is_completed() or state.is_paused() or state.is_cancelled()):
            raise RunFailedError

    async def _run_of(self, order: BatchOrder) -> FlowRun | None:
        """Return the run of an order, after recording it in the ledger; None: the run existed and was deleted."""
        if self._decisions is None:
            return await self._runs.get_or_create(order)
        known = await self._decisions.run_of(order)
        if known is None:
            made = await self._runs.get_or_create(order)
            if (since := await self._decisions.ordered_since(order, made)) is not None:
                made = await self._runs.get_or_create(order, since=since)
            await self._decisions.record_run(order, made)
            return made
        run = await self._runs.find(known)
        if run is None:
            await self._decisions.gone(order.batch_id, known)
        return run

    async def _keep(self, plain: Together) -> list[Received]:
        """Store plain mails, and return the messages of those stored; the others stay in the queue."""
        taken = await self._keep_plain(plain)
        for message_id, faults in taken.refused.items():
            _not_understood(message_id, Unacceptable("the mail cannot be sent", faults=faults))
        return [message for message, _ in plain if message.message_id not in taken.refused]

    async def _hide(self, messages: Sequence[Received], seconds: int) -> None:
        await self._survive(
            asyncio.to_thread(self._queue.hide, [one.receipt_handle for one in messages], seconds=seconds)
        )

    async def _heartbeat(self) -> None:
        """Extend the visibility timeouts of messages in process, for batches that take hours."""
        await self._hide(list(self._in_hand.values()), self._timing.visibility_s)

    async def _survive(self, call: Coroutine[Any, Any, object]) -> None:
        """Await `call`; a failure is logged, and repaired by a timeout or the next call."""
        try:
            await call
        except Exception as error:  # noqa: BLE001 - logged, and done again
            _failed(error)


def _failed(error: Exception) -> None:
    logger.warning("a background task of the mailbox queue failed and is repeated: %s", type(error).__name__)


def _not_understood(message_id: str, error: Unacceptable) -> None:
    what = "; ".join(sorted({fault.what for fault in error.faults})) or error.message
    logger.error("message %s cannot be processed and goes to the dead-letter queue: %s", message_id, what)


def open_mailbox(
    installation: Installation,
    client: PrefectClient,
    executor: WarmExecutor,
    *,
    limit: int,
    timing: Timing,
    gate: Gate,
    decisions: Decisions,
) -> MailboxListener:
    """Return the listener of this installation's mailbox queue."""
    settings, store = installation.settings, installation.store

    async def keep(plain: Together) -> Intake:
        attachments = AttachmentResolver(settings.mailbox_tenant, archive=(await open_outbound()).archive, uploads=None)
        return await asyncio.to_thread(
            accept_mails,
            plain,
            tenant=settings.mailbox_tenant,
            sender=settings.sender,
            now=datetime.now(UTC),
            new_id=lambda: str(uuid4()),
            outbox=store.outbox,
            attachments=attachments,
        )

    async def waits(batch_ids: Sequence[str]) -> None:
        for batch_id in batch_ids:
            await asyncio.to_thread(store.dispatch.work_on, batch_id, now=datetime.now(UTC))

    async def look_after() -> None:
        await asyncio.to_thread(settle_unknown, await open_outbound(), now=datetime.now(UTC))

    return MailboxListener(
        installation.queue(settings.mailbox_queue_url),
        BatchRuns(client),
        executor,
        Health(outbound_probes(client, installation.engine)),
        keep=keep,
        waits=waits,
        look_after=look_after,
        limit=limit,
        timing=timing,
        gate=gate,
        decisions=decisions,
    )
