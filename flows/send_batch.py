"""One run of `send-batch` for each time that a batch has something to send."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

from prefect import flow
from prefect.client.schemas.objects import State as RunState
from prefect.exceptions import FlowPauseTimeout, NotPausedError, ObjectNotFound
from prefect.flow_runs import aresume_flow_run, asuspend_flow_run
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from blocks.outbound import open_outbound
from flows.support.events import EventName, emit
from flows.support.sending_report import Dispatching
from mailroom.domain.outbound.message import Batch
from mailroom.outbound.dispatching import Outbound, Sender
from mailroom.outbound.retry_schedule import LONGEST_WAIT_IN_RUN
from mailroom.ports.breakers import Broken
from mailroom.ports.dispatch import Planned
from tasks.send_batch import dispatch, plan, settle
from tasks.support.steps import blocking


# Prefect would build a pydantic model for each run to validate two strings; the outbox knows its batches.
@flow(name="send-batch", persist_result=False, validate_parameters=False)
async def send_batch(batch_id: str, due_at: str = "") -> RunState:
    """Send what is due of one batch.

    Completed means that no message is due any more: each was sent, refused, or delayed to a later run, as is a message that
    its recipient's server does not take now. Retry continues where the run stopped. A run after a cancel or a reschedule
    finds nothing due. Suspended means that a circuit breaker opened: Resume closes it, as does `mailroom breakers close`.

    Args:
        batch_id: The batch.
        due_at: When the batch was due; two runs of one batch differ in it.
    """
    outbound = await open_outbound()
    batch = await blocking(outbound.dispatch.batch, batch_id)
    if batch is None:
        return Failed(message="batch not found")
    await settle(outbound)
    await wait_until_due(due_at)
    work = Dispatching(batch)
    try:
        while broken := await send_all(work, batch, outbound):
            await wait_closed(broken, outbound)
    finally:
        await asyncio.shield(work.close())
    return Completed(message=work.sentence())


async def wait_until_due(due_at: str) -> None:
    """Wait for the run's own time: a run may start slightly early, by another clock or by prefetching."""
    while (early_s := _until_due(due_at)) > 0:
        await asyncio.sleep(early_s)


async def send_all(work: Dispatching, batch: Batch, outbound: Outbound) -> Broken | None:
    """Send until nothing is due, or the rest is deferred; return the breaker that stopped it, if one did.

    `work` receives the progress.
    """
    sender = Sender(batch.id, batch.lane, outbound, run_id=flow_run.get_id())
    planned = await plan(batch.id, outbound)
    await work.begin(planned)
    while planned.due or _soon(planned):
        tally = await dispatch(sender, planned.due)
        await work.add(tally)
        if tally.resume_at or tally.broken:
            return tally.broken
        await asyncio.sleep(tally.pause_s)
        if tally.over:
            work.left = planned = await plan(batch.id, outbound)
            await asyncio.sleep(_until_next(planned))
    return None


async def wait_closed(broken: Broken, outbound: Outbound) -> None:
    """Suspend this run until the breaker is closed; it then starts again and sends what is due.

    A run is suspended once for each breaker. A person who resumes a run while the breaker is open decides to close it:
    the other runs that wait for it are resumed too.
    """
    run_id = str(flow_run.get_id())
    emit_breaker_opened(broken)
    await blocking(outbound.breakers.hold, broken.id, run_id)
    await asuspend_flow_run(key=broken.id)
    closed = await blocking(outbound.breakers.close, broken.id, by="Resume in Prefect", now=datetime.now(UTC))
    for other in closed.runs if closed else ():
        if other != run_id:
            await resume(other)


async def resume(run_id: str) -> None:
    """Resume a suspended run; one that was already resumed or cancelled is left alone."""
    with suppress(FlowPauseTimeout, NotPausedError, ObjectNotFound, RuntimeError):
        await aresume_flow_run(UUID(run_id))


def emit_breaker_opened(broken: Broken) -> None:
    """Emit that a breaker opened, as one event however many batches it stops."""
    subject = f"batch.{broken.batch_id}" if broken.batch_id else f"tenant.{broken.tenant}"
    tally = broken.tally
    counts = {"sent": tally.sent, "bounced": tally.bounced, "complained": tally.complained}
    facts: dict[str, str | int] = {"breaker": broken.id, "trip": broken.trip.value, **counts}
    emit(EventName.BREAKER_OPENED, subject, facts=facts, run_id=str(flow_run.get_id()), once=broken.id)


def _until_due(due_at: str) -> float:
    try:
        left = (datetime.fromisoformat(due_at) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return 0.0
    return left if 0 < left <= 2 * LONGEST_WAIT_IN_RUN.total_seconds() else 0.0


def _soon(planned: Planned) -> bool:
    """Return whether the next message of the batch is due soon enough to wait; one that waits for its recipient is not."""
    return planned.next_at is not None and planned.next_at - datetime.now(UTC) <= 2 * LONGEST_WAIT_IN_RUN


def _until_next(planned: Planned) -> float:
    if planned.due or not _soon(planned) or planned.next_at is None:
        return 0.0
    return max(0.0, (planned.next_at - datetime.now(UTC)).total_seconds())
