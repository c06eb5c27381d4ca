"""The sweep of outbound mail: every few minutes, batches that the queue lost are queued again."""

from datetime import UTC, datetime, timedelta

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.objects import State as RunState
from prefect.states import Completed

from blocks.outbound import open_orders
from mailroom.outbound.run_outcomes import AppliedOutcomes
from tasks.support.run_outcomes import is_sending_paused, read_outcomes
from tasks.sweep_outbound import apply_run_outcomes, find_overdue, remind

_SHOWN = 50


@flow(name="sweep-outbound", persist_result=False)
async def sweep_outbound(older_than_minutes: int = 15) -> RunState:
    """Queue overdue batches again that no run is sending.

    An operator's decisions come first: a batch whose run was cancelled is cancelled, one whose run was deleted is held, and
    while the deployment `send-batch` is paused nothing is queued.

    Args:
        older_than_minutes: Ignore batches that are overdue for less than this.
    """
    before = datetime.now(UTC) - timedelta(minutes=older_than_minutes)
    orders = await open_orders()
    overdue = await find_overdue(before, orders.runs)
    obeyed = await apply_run_outcomes(overdue, await read_outcomes(overdue), orders.outbox)
    if await is_sending_paused():
        return Completed(message=f"{_sentence(obeyed, [])}; send-batch is paused in Prefect")
    ordered = await remind(before, obeyed.left, orders.outbox)
    await report_orders(obeyed, ordered)
    return Completed(message=_sentence(obeyed, ordered))


async def report_orders(obeyed: AppliedOutcomes, ordered: list[str]) -> None:
    """Attach the decision for each batch, by id."""
    lines = [f"- cancelled in Prefect `{batch_id}`" for batch_id in obeyed.cancelled]
    lines += [f"- held, its run was deleted `{batch_id}`" for batch_id in obeyed.held]
    lines += [f"- batch `{batch_id}`" for batch_id in ordered]
    if lines:
        await acreate_markdown_artifact("\n".join(lines[:_SHOWN]), description="Batches queued again")


def _sentence(obeyed: AppliedOutcomes, ordered: list[str]) -> str:
    words = [f"queued {len(ordered)} batches again"]
    words += [f"cancelled {len(obeyed.cancelled)}"] if obeyed.cancelled else []
    words += [f"held {len(obeyed.held)} whose run was deleted"] if obeyed.held else []
    return ", ".join(words)
