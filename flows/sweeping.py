"""The sweeps: every few minutes, e-mails and batches that the queues forgot are announced and ordered anew."""

from datetime import UTC, datetime, timedelta

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.objects import State as RunState
from prefect.states import Completed
from prefect.variables import Variable

from blocks.inbound import open_inbound
from blocks.sending import open_way_in
from mailroom.domain.inbound import ObjectRef
from mailroom.inbound.sweeping import BACKLOG, Found
from mailroom.ports import Inbound
from tasks.sweeping import announce_all, find_lost, find_silent, remind, waiting

#: The key of the inbound bucket after which the next sweep goes on looking.
_SWEPT_TO = "mailroom_swept_to"
_SHOWN = 50


@flow(name="sweep-inbound", persist_result=False)
async def sweep_inbound(older_than_minutes: int = 10) -> RunState:
    """Announce e-mails that are open and silent, and objects that the ledger never heard of.

    While many messages wait in the queue nothing is announced: what seems lost may be among them.

    Args:
        older_than_minutes: What is younger than this is left to the queue.
    """
    inbound = await open_inbound()
    backlog = await waiting(inbound)
    if backlog > BACKLOG:
        return Completed(message=f"{backlog} messages wait; what seems lost may be among them")
    before = datetime.now(UTC) - timedelta(minutes=older_than_minutes)
    silent = await find_silent(before, inbound)
    found = await look_on(before, inbound)
    if silent or found.lost:
        await announce_all([*silent, *found.lost], inbound)
        await report(silent, found.lost)
    return Completed(message=f"announced {len(silent)} silent, {len(found.lost)} unknown")


@flow(name="sweep-outbound", persist_result=False)
async def sweep_outbound(older_than_minutes: int = 15) -> RunState:
    """Order batches anew that are overdue and that no run is at work on.

    Args:
        older_than_minutes: What is overdue for less is left to the queue.
    """
    before = datetime.now(UTC) - timedelta(minutes=older_than_minutes)
    ordered = await remind(before, (await open_way_in()).outbox)
    if ordered:
        lines = [f"- batch `{batch_id}`" for batch_id in ordered[:_SHOWN]]
        await acreate_markdown_artifact("\n".join(lines), description="Batches ordered anew")
    return Completed(message=f"ordered {len(ordered)} batches anew")


async def look_on(before: datetime, inbound: Inbound) -> Found:
    """Look through the bucket from where the last sweep stopped, and remember where this one did."""
    found = await find_lost(str(await Variable.aget(_SWEPT_TO, default="")), before, inbound)
    await Variable.aset(_SWEPT_TO, found.until, overwrite=True)
    return found


async def report(silent: list[ObjectRef], lost: list[ObjectRef]) -> None:
    """Attach which e-mails were announced, by their ids."""
    lines = [f"- silent `{ref.message_id}`" for ref in silent] + [f"- unknown `{ref.message_id}`" for ref in lost]
    shown = lines[:_SHOWN] + ([f"- and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else [])
    await acreate_markdown_artifact("\n".join(shown), description="E-mails announced anew")
