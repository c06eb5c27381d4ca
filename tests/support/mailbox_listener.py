"""A mailbox listener's surroundings in tests: a queue in memory, and the deployment on a Prefect server."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound

from deployments.ensure import ensure_pool
from deployments.worker.client import RunClient, run_client_context
from deployments.worker.executor import WarmExecutor
from deployments.worker.health import Health
from deployments.worker.mailbox import MailboxListener
from deployments.worker.process import POOL
from deployments.worker.runs import BatchRuns
from mailroom.domain.outbound.message import Lane
from mailroom.outbound.mailbox import Intake
from mailroom.outbound.outbox_relay import order_body
from mailroom.ports.outbox import OutboxOrder
from mailroom.ports.queue import Received
from mailroom.testing.clock import Clock
from mailroom.testing.queue import MemoryQueue
from tests.support.inbound_listener import QUICK, holds
from tests.support.sending import Office

#: How many runs of a lane a worker executes here, and how many batches of a lane it holds.
LIMIT = 4


class CountedQueue(MemoryQueue):
    """Records the largest receive count of any message."""

    most_receives = 0

    def receive(self, *, most: int, wait_s: int) -> list[Received]:
        received = super().receive(most=most, wait_s=wait_s)
        self.most_receives = max([self.most_receives, *(one.receive_count for one in received)])
        return received


class Desk:
    """A mailbox listener's surroundings."""

    slots = LIMIT

    def __init__(self, office: Office) -> None:
        self.office = office
        self.clock = Clock()
        self.queue = CountedQueue(visibility_s=3600, clock=self.clock)
        self.kept: list[str] = []
        self.refuses: set[str] = set()
        self.waited: list[str] = []

    def order(self, batch_id: str, due_at: datetime, lane: Lane = Lane.TRANSACTIONAL) -> None:
        self.queue.post([order_body(OutboxOrder(id=1, batch_id=batch_id, due_at=due_at, lane=lane))])

    def listen(self, until: Callable[[], bool]) -> None:
        """Have a listener run until something holds, and stop it."""
        asyncio.run(self._listen(until))

    async def _listen(self, until: Callable[[], bool]) -> None:
        async with run_client_context() as context:
            client: Any = context.client
            await deployed(client)
            executor = self.executor(client)
            parts: Any = self.queue, BatchRuns(client), executor, Health({})
            listener = MailboxListener(
                *parts,
                keep=self._keep,
                waits=self._wait,
                look_after=lambda: asyncio.sleep(0),
                limit=LIMIT,
                timing=QUICK,
                **self.more(client, executor),
            )
            running = asyncio.create_task(listener.run())
            await holds(lambda: until() or running.done())
            listener.stop()
            await running
            await executor.stop(patience_s=5)

    def executor(self, client: RunClient) -> WarmExecutor:
        return WarmExecutor(client, limit=self.slots)

    def more(self, client: RunClient, executor: WarmExecutor) -> dict[str, Any]:
        """Return what else the listener is made with."""
        return {}

    async def _wait(self, batch_ids: Sequence[str]) -> None:
        self.waited += batch_ids

    async def _keep(self, plain: Any) -> Intake:
        self.kept += [mail.to for _, mail in plain]
        refused = {message.message_id: () for message, mail in plain if mail.to in self.refuses}
        return Intake(len(plain) - len(refused), refused)

    def empty(self) -> bool:
        return len(self.queue) == 0


async def deployed(client: PrefectClient) -> None:
    try:
        await client.read_deployment_by_name("send-batch/send-batch")
    except ObjectNotFound:
        await ensure_pool(client)
        flow_id = await client.create_flow_from_name("send-batch")
        entrypoint = "flows.send_batch.send_batch"
        await client.create_deployment(flow_id, "send-batch", entrypoint=entrypoint, work_pool_name=POOL)
