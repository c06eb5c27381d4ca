"""A run that was admitted and waits for a slot: Prefect is asked again before it starts."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import httpx

from deployments.worker.gates import Gates

DEPLOYMENT, OTHER = uuid4(), uuid4()


class Server:
    """What a Prefect server answers to the three questions of the gates."""

    paused = False
    limit: int | None = None

    async def request(self, method: str, path: str, **_: Any) -> httpx.Response:
        bound = {"limit": self.limit, "active": True} if self.limit is not None else None
        named = {"id": str(DEPLOYMENT), "name": "send-batch", "work_queue_name": "default", "paused": self.paused}
        answers: dict[str, Any] = {
            "/deployments/filter": [named | {"global_concurrency_limit": bound}],
            "/work_pools/{work_pool_name}/queues/filter": [{"name": "default", "is_paused": False}],
            "/work_pools/{name}": {"is_paused": False},
        }
        return httpx.Response(200, json=answers[path])


async def begins(gates: Gates, stack: AsyncExitStack, deployment: Any = DEPLOYMENT) -> bool:
    """Say whether a run begins within a moment; it then goes on until the stack is left."""
    try:
        async with asyncio.timeout(1.2):
            await stack.enter_async_context(gates.begun(deployment, "default"))
    except TimeoutError:
        return False
    return True


def test_a_run_that_was_let_in_before_a_pause_does_not_begin_after_it() -> None:
    """The run before it may take hours; an operator who pauses sending sees no other batch begin."""

    async def paused_and_resumed() -> list[bool]:
        server: Any = Server()
        gates = Gates(server, pool="mailroom", fresh_s=0)
        async with AsyncExitStack() as stack, gates.slot("send-batch"), gates.slot("send-batch"):
            said = [await begins(gates, stack)]
            server.paused = True
            said += [await begins(gates, stack), await begins(gates, stack, OTHER)]
            server.paused = False
            return [*said, await begins(gates, stack)]

    assert asyncio.run(paused_and_resumed()) == [True, False, True, True]


def test_a_limit_that_is_lowered_bounds_what_was_let_in_before() -> None:
    """As many as there were slots were admitted; no more start than the current limit allows."""

    async def lowered() -> list[bool]:
        server: Any = Server()
        gates = Gates(server, pool="mailroom", fresh_s=0)
        async with AsyncExitStack() as outer, gates.slot("send-batch"), gates.slot("send-batch"):
            async with AsyncExitStack() as stack:
                first = await begins(gates, stack)
                server.limit = 1
                second = await begins(gates, outer)
            return [first, second, await begins(gates, outer)]

    assert asyncio.run(lowered()) == [True, False, True]
