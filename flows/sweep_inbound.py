"""The sweep of inbound mail: every few minutes, e-mails that the queue lost are queued again."""

from datetime import UTC, datetime, timedelta

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.objects import State as RunState
from prefect.states import Completed
from prefect.variables import Variable

from blocks.inbound import open_inbound
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.inbound.sweeping import BACKLOG, Found
from mailroom.ports.inbound import Inbound
from tasks.sweep_inbound import announce_all, find_lost, find_recalled, find_silent, index_older, waiting

#: The key of the inbound bucket after which the next sweep continues.
_SWEPT_TO = "mailroom_swept_to"
#: Progress of comparing a restored database's lines with the archive.
_RECALLED_TO = "mailroom_recalled_to"
_SHOWN = 50


@flow(name="sweep-inbound", persist_result=False)
async def sweep_inbound(older_than_minutes: int = 10) -> RunState:
    """Queue e-mails again whose processing stopped, objects without a notification, and e-mails missing after a restore.

    While many messages wait in the queue this does nothing, because what seems lost may be among them. At last it indexes items
    for search again that an earlier release indexed.

    Args:
        older_than_minutes: Ignore e-mails that are younger than this.
    """
    inbound = await open_inbound()
    backlog = await waiting(inbound)
    if backlog > BACKLOG:
        return Completed(message=f"skipped: {backlog} messages wait in the queue")
    before = datetime.now(UTC) - timedelta(minutes=older_than_minutes)
    silent = await find_silent(before, inbound)
    comparison = await continue_comparison(before, inbound)
    if silent or comparison.lost:
        await announce_all([*silent, *comparison.lost], inbound)
        await report(silent, comparison.lost)
    recalled = await recall(inbound)
    words = f", {len(recalled)} missing after a restore" if recalled else ""
    if indexed := await index_older(inbound):
        words += f"; indexed {indexed} older items for search"
    return Completed(message=f"queued again: {len(silent)} stopped, {len(comparison.lost)} unknown{words}")


async def continue_comparison(before: datetime, inbound: Inbound) -> Found:
    """Compare the bucket with the ledger from where the last sweep stopped, and store where this one did."""
    comparison = await find_lost(str(await Variable.aget(_SWEPT_TO, default="")), before, inbound)
    await Variable.aset(_SWEPT_TO, comparison.until, overwrite=True)
    return comparison


async def recall(inbound: Inbound) -> list[ObjectRef]:
    """Queue closed lines of a restored database that the archive knows more about, and store how far it was compared."""
    after = str(await Variable.aget(_RECALLED_TO, default=""))
    comparison = await find_recalled(after, inbound)
    if comparison.lost:
        await announce_all(comparison.lost, inbound)
    if comparison.until != after:
        await Variable.aset(_RECALLED_TO, comparison.until, overwrite=True)
    return comparison.lost


async def report(silent: list[ObjectRef], lost: list[ObjectRef]) -> None:
    """Attach the ids of the e-mails that were queued again."""
    lines = [f"- stopped `{ref.message_id}`" for ref in silent] + [f"- unknown `{ref.message_id}`" for ref in lost]
    shown = lines[:_SHOWN] + ([f"- and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else [])
    await acreate_markdown_artifact("\n".join(shown), description="E-mails queued again")
