"""A deployment that is registered again under its name while workers run has another id."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from prefect import get_client
from prefect.client.orchestration import PrefectClient

from deployments.ensure import ensure_pool
from deployments.worker.client import RunClient
from deployments.worker.process import POOL
from deployments.worker.runs import BULK, BatchRuns, InboundRuns
from flows.receive_email import receive_email
from flows.send_batch import send_batch
from mailroom.domain.inbound.received_email import Entry, ObjectRef, State
from mailroom.domain.outbound.message import Lane
from mailroom.outbound.mailbox import BatchOrder


async def _register(client: PrefectClient) -> None:
    for flow, name in ((receive_email, "receive-email"), (send_batch, "send-batch")):
        await client.create_deployment(await client.create_flow(flow), name)


async def _unregister(client: PrefectClient) -> None:
    for name in ("receive-email/receive-email", "send-batch/send-batch"):
        await client.delete_deployment((await client.read_deployment_by_name(name)).id)


def _entry(name: str) -> Entry:
    return Entry(str(uuid4()), ObjectRef("mails", f"in/{name}"), State.RECEIVED, envelope=None, attempts=0)


def test_new_mail_and_orders_become_runs_of_the_new_deployment(server: None) -> None:
    """The probe asks by name and succeeds: with the old id each mail would fail until it is a dead letter."""

    async def go() -> None:
        async with get_client() as operator, RunClient() as client:
            inbound, batches = InboundRuns(client), BatchRuns(client)
            word = BatchOrder(str(uuid4()), datetime.now(UTC) + timedelta(hours=1), Lane.TRANSACTIONAL)
            await _register(operator)
            before = [await inbound.get_or_create(_entry("first")), await batches.get_or_create(word)]
            await _unregister(operator)
            await _register(operator)

            later = BatchOrder(str(uuid4()), word.due_at, Lane.TRANSACTIONAL)
            after = [await inbound.get_or_create(_entry("second")), await batches.get_or_create(later)]

            assert not {run.deployment_id for run in before} & {run.deployment_id for run in after}

    asyncio.run(go())


def test_the_pool_has_its_queue_of_bulk_batches_before_any_run(server: None) -> None:
    """Otherwise the first run makes it, and of two first runs at once Prefect refuses one."""

    async def go() -> set[str]:
        async with get_client() as client:
            for _ in range(2):
                await ensure_pool(client)
            return {queue.name for queue in await client.read_work_queues(work_pool_name=POOL)}

    assert asyncio.run(go()) == {"default", BULK}
