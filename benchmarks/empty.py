"""The ceiling: a flow with as many tasks as an e-mail with an attachment has, all empty."""

from prefect import flow

from tasks.support.steps import step

STEPS = 8


@step("nothing")
async def nothing() -> None:
    """Do nothing."""


@flow(name="empty-steps", persist_result=False)
async def empty_steps() -> None:
    """Run the tasks, one after the other."""
    for _ in range(STEPS):
        await nothing()
