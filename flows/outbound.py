"""One run of `send-batch` for each time that a batch has something to send."""

import asyncio
from datetime import UTC, datetime

from prefect import flow
from prefect.client.schemas.objects import State as RunState
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from blocks.sending import open_outbound
from flows.sending_report import Dispatching
from mailroom.domain.outbound import Batch
from mailroom.outbound.dispatching import PATIENCE, Outbound, Sender
from mailroom.sending import Planned
from tasks.outbound import dispatch, plan, settle
from tasks.steps import blocking


# Prefect would build a pydantic model for each run to check two strings; the outbox knows its batches.
@flow(name="send-batch", persist_result=False, validate_parameters=False)
async def send_batch(batch_id: str, due_at: str = "") -> RunState:
    """Send what is due of one batch.

    Completed means that nothing of it is due any more: handed over, refused, or put off with an order of its own.
    Retry goes on where the run stopped. A run that comes after a cancel or a reschedule finds nothing due.

    Args:
        batch_id: The batch.
        due_at: When it was to go; two runs of one batch differ in it.
    """
    outbound = await open_outbound()
    batch = await blocking(outbound.dispatch.batch, batch_id)
    if batch is None:
        return Failed(message="there is no such batch")
    await settle(outbound)
    work = Dispatching(batch)
    try:
        await send_all(work, batch, outbound)
    finally:
        await asyncio.shield(work.close())
    return Completed(message=work.sentence())


async def send_all(work: Dispatching, batch: Batch, outbound: Outbound) -> None:
    """Hand over until nothing is due, or the rest was put off; `work` is told how far it came."""
    sender = Sender(batch.id, batch.lane, outbound, run_id=flow_run.get_id())
    planned = await plan(batch.id, outbound)
    await work.begin(planned)
    while planned.due or _soon(planned):
        tally = await dispatch(sender, planned.due)
        await work.add(tally)
        if tally.resume_at:
            break
        await asyncio.sleep(tally.pause_s)
        if tally.over:
            planned = await plan(batch.id, outbound)
            await asyncio.sleep(_until_next(planned))


def _soon(planned: Planned) -> bool:
    """Say whether what waits is worth waiting for: it was to be tried again, or the run came a moment early."""
    return planned.next_at is not None and planned.next_at - datetime.now(UTC) <= 2 * PATIENCE


def _until_next(planned: Planned) -> float:
    if planned.due or not _soon(planned) or planned.next_at is None:
        return 0.0
    return max(0.0, (planned.next_at - datetime.now(UTC)).total_seconds())
