"""A limit that an operator set in Prefect, kept by several workers together."""

import asyncio
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine

from deployments.worker.client import run_client_context
from deployments.worker.gates import Gate, Gates
from deployments.worker.process import POOL, share_of
from mailroom.adapters.postgres.operations.roster import SqlRoster
from mailroom.adapters.prefect.http import SEND_BATCH
from tests.support.inbound_listener import holds
from tests.support.operated_listener import change_deployment, deploy, now


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_several_workers_hold_to_one_limit_together(server: None, engine: Engine, limit: int) -> None:
    """Ten workers must not make ten of a limit of one; and when all but one have left, it has the whole limit."""
    roster, names = SqlRoster(engine), ["one", "two", "three"]

    def sign(names: list[str]) -> None:
        for name in names:
            roster.heartbeat(name, now=now(), in_hand=0, paused_by=None)

    under_way: set[int] = set()
    most: list[int] = []

    async def live(names: list[str]) -> None:
        while True:
            sign(names)
            await asyncio.sleep(5)

    async def run(gate: Gate, number: int) -> None:
        async with gate.slot():
            under_way.add(number)
            most.append(len(under_way))
            await asyncio.sleep(0.3)
            under_way.remove(number)

    async def work(names: list[str]) -> None:
        async with run_client_context() as context:
            client: Any = context.client
            sign(names)
            shares = [partial(share_of, roster, name) for name in names]
            gates = [Gates(client, pool=POOL, fresh_s=0.2, share=share) for share in shares]
            runs = [run(one.gate(SEND_BATCH), number) for number, one in enumerate(gates * limit)]
            # A worker without a share of the limit starts nothing, and the others do not wait for it.
            working = limit * min(limit, len(names))
            # A worker that is silent for 45 seconds counts as dead.
            living = asyncio.create_task(live(names))
            tasks = [asyncio.create_task(one) for one in runs]
            await holds(lambda: sum(task.done() for task in tasks) >= working)
            await asyncio.wait(tasks, timeout=1)
            living.cancel()

    asyncio.run(deploy())
    change_deployment(concurrency_limit=limit)
    asyncio.run(work(names))
    together = max(most)
    for name in names[1:]:
        roster.leave(name)
    most.clear()
    under_way.clear()
    asyncio.run(work(names[:1]))
    change_deployment(concurrency_limit=None)

    assert together == limit
    assert max(most) == limit
