"""Bulk batches in a worker fill their own slots, and nothing else waits for them."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from sqlalchemy import Engine

from deployments.worker.client import run_client_context
from deployments.worker.pool_worker import MailroomWorker
from deployments.worker.process import POOL
from deployments.worker.runs import BULK, BatchRuns
from flows import send_batch as flows_outbound
from mailroom.domain.errors import MailroomError
from mailroom.domain.outbound.message import Content, Lane, Outgoing
from mailroom.outbound.dispatching import Outbound
from mailroom.outbound.mailbox import BatchOrder
from mailroom.ports.provider import ProviderReceipt
from mailroom.testing.provider import MemoryProvider
from tests.support.inbound_listener import holds
from tests.support.mailbox_listener import LIMIT, Desk, deployed
from tests.support.patience import PATIENCE_S
from tests.support.sending import office_on

OFFERS = Content(subject="Offers", text="Cheap.", html=None)


class Gate(MemoryProvider):
    """A provider whose calls for offers block until the gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[str] = []
        self.open = threading.Event()

    def send(self, mails: Sequence[Outgoing]) -> list[ProviderReceipt | MailroomError]:
        """Accept mails; offers once the gate is open."""
        if mails[0].subject == OFFERS.subject and not self.open.is_set():
            self.waiting += [mail.id for mail in mails]
            assert self.open.wait(PATIENCE_S)
        return super().send(mails)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def mailbox_setup(server: None, engine: Engine, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with office_on(engine, provider=gate) as outbound_side:

        async def opened() -> Outbound:
            return outbound_side.outbound

        monkeypatch.setattr(flows_outbound, "open_outbound", opened)
        yield Desk(outbound_side)


def runs() -> list[FlowRun]:
    async def read() -> list[FlowRun]:
        async with get_client() as client:
            return await client.read_flow_runs(limit=200)

    return asyncio.run(read())


def test_a_transactional_batch_is_sent_while_bulk_batches_fill_all_their_slots(mailbox_setup: Desk, gate: Gate) -> None:
    """Newsletters of hours, more than a worker holds, came first; their orders wait without using up receive counts."""
    now = datetime.now(UTC)
    offers = [mailbox_setup.office.batch(1, now=now, content=OFFERS, lane=Lane.BULK) for _ in range(2 * LIMIT)]
    for batch_id in offers:
        mailbox_setup.order(batch_id, now, Lane.BULK)
    reset = mailbox_setup.office.batch(1, now=now)
    mailbox_setup.order(reset, now)
    while_waiting: list[str] = []

    def all_sent() -> bool:
        if not gate.open.is_set():
            if len(gate.accepted) == 1 and len(gate.waiting) == LIMIT:
                while_waiting.extend(gate.waiting)
                gate.open.set()
            return False
        # The orders that were put back come again; an order that is worked on is hidden for an hour, however slow this machine is.
        mailbox_setup.clock.now = min(mailbox_setup.clock.now + 1, 3_500)
        return mailbox_setup.empty()

    mailbox_setup.listen(all_sent)

    sent = dict(zip(gate.accepted, (mail.subject for mail in gate.mails), strict=True))
    assert len(gate.accepted) == len(sent) == 1 + 2 * LIMIT
    assert sent[gate.accepted[0]] != OFFERS.subject
    assert len(while_waiting) == LIMIT
    assert mailbox_setup.queue.most_receives == 1
    # No sweep orders them once more.
    assert set(mailbox_setup.waited) == set(offers[LIMIT:])
    ended = {run.name: (run.work_queue_name, run.state and run.state.type) for run in runs()}
    assert {ended[batch_id] for batch_id in offers} == {(BULK, "COMPLETED")}
    assert ended[reset] == ("default", "COMPLETED")


#: A worker polls every ten seconds, and each poll writes.
_POLL_S = 0.5
_AHEAD = timedelta(hours=1)


class Held:
    """Stands in for Lanes: runs begin, and end when the test says so."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.released = asyncio.Event()

    async def execute_any(self, run: FlowRun) -> None:
        self.begun.append(run.name)
        await self.released.wait()


def test_bulk_batches_of_one_time_have_half_of_the_pools_slots(server: None) -> None:
    """All newsletters go at nine; a mail that somebody retries at one past nine must not wait for them."""
    # Far ahead, or a slow machine creates the last of them as due at once, for a listener; the worker looks as far.
    due = datetime.now(UTC) + _AHEAD
    offers = [BatchOrder(str(uuid4()), due, Lane.BULK) for _ in range(2 * LIMIT)]
    reset = BatchOrder(str(uuid4()), due + timedelta(seconds=1), Lane.TRANSACTIONAL)

    async def poll() -> tuple[list[str], list[str]]:
        held = Held()
        lanes: Any = held
        async with run_client_context() as context:
            client: Any = context.client
            await deployed(client)
            for word in [*offers, reset]:
                await BatchRuns(client).get_or_create(word)
        worker = MailroomWorker(work_pool_name=POOL, limit=LIMIT, prefetch_seconds=2 * _AHEAD.total_seconds())
        worker.lanes = lanes
        async with worker:
            await worker.sync_with_backend()
            for _ in range(3):
                await worker.get_and_submit_flow_runs()
                await asyncio.sleep(_POLL_S)
            await holds(lambda: len(held.begun) >= 1 + LIMIT // 2)
            first = list(held.begun)
            held.released.set()
            async with asyncio.timeout(PATIENCE_S):
                while len(held.begun) < len(offers) + 1:
                    await worker.get_and_submit_flow_runs()
                    await asyncio.sleep(_POLL_S)
        return first, held.begun

    first, begun = asyncio.run(poll())

    assert reset.batch_id in first
    assert len(first) == 1 + LIMIT // 2
    assert Counter(begun) == Counter(word.batch_id for word in [*offers, reset])
