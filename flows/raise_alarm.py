"""An alarm as a run: visible in the UI, in the log of the worker, and by its tag; automations start it."""

import logging
from uuid import UUID

from prefect import flow, get_client
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.objects import State as RunState
from prefect.runtime import flow_run
from prefect.states import Completed

logger = logging.getLogger("mailroom.alarms")


@flow(name="raise-alarm", persist_result=False)
async def raise_alarm(alarm: str, about: str, resource: str = "") -> RunState:
    """Raise an alarm for an operator: log it, and attach what it means and where to read what to do.

    Args:
        alarm: The name of the alarm.
        about: What the alarm means.
        resource: The id of what it is about; empty if the alarm is that something did not happen.
    """
    logger.error("alarm: %s %s", alarm, resource)
    async with get_client() as client:
        await client.update_flow_run(
            UUID(str(flow_run.get_id())), name=f"alarm: {alarm}", tags=["alarm", f"alarm:{alarm}"]
        )
    lines = [
        f"**{alarm}**",
        "",
        about,
        "",
        *([f"- about `{resource}`"] if resource else []),
        "- what to do: see docs/operations.md",
    ]
    await acreate_markdown_artifact("\n".join(lines), description=f"Alarm: {alarm}")
    return Completed(message=f"{alarm} {resource}".strip())
