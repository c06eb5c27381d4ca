"""The ceiling: a flow with as many tasks as an e-mail with an attachment has, that do nothing."""

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

STEPS = 8


@task(cache_policy=NO_CACHE, persist_result=False)
async def nothing() -> None:
    """Do nothing."""


@flow(name="empty-steps", persist_result=False)
async def empty_steps() -> None:
    """Run the tasks, one after the other."""
    for _ in range(STEPS):
        await nothing()
