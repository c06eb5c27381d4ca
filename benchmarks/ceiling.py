"""Runs N empty flow runs in a warm executor in this process, and prints runs per second as JSON."""

import asyncio
import json
import sys
import time
from typing import cast

from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Pending

from deployments.worker.client import RunClient, run_client_context
from deployments.worker.executor import WarmExecutor

_LIMIT = 8


async def measure(count: int) -> float:
    """Return runs per second, from the first creation to the last end, with the warm worker's settings."""
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        return await _measure(count)


async def _measure(count: int) -> float:
    async with run_client_context() as context:
        client = cast(RunClient, context.client)
        deployment = await client.read_deployment_by_name("empty-steps/empty-steps")
        executor = WarmExecutor(client, limit=_LIMIT)
        await executor.preload(deployment.id)
        slots = asyncio.Semaphore(_LIMIT)

        async def one() -> None:
            async with slots:
                run = await client.create_flow_run_from_deployment(deployment.id, state=Pending())
                state = await executor.execute(run)
                assert state is not None
                assert state.is_completed()

        await one()
        start = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(count)))
        return count / (time.perf_counter() - start)


if __name__ == "__main__":
    print(json.dumps({"per_second": asyncio.run(measure(int(sys.argv[1])))}))
