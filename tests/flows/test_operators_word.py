"""What an operator does in Prefect, by its REST API as the UI does it: paused, bounded, cancelled, deleted."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from sqlalchemy import Engine

from blocks.outbound import OrderPorts
from deployments.worker import cancelling
from deployments.worker.client import run_client_context
from deployments.worker.gates import Gates
from deployments.worker.pool_worker import MailroomWorker
from deployments.worker.process import POOL
from flows import send_batch as flows_outbound
from flows import sweep_outbound as sweeping
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.outbound.order_runs import SqlOrderRuns
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.prefect.http import SEND_BATCH
from mailroom.domain.inbound.received_email import Arrival, ObjectRef, State
from mailroom.outbound.dispatching import Outbound
from mailroom.ports.ledger import Lease
from mailroom.ports.rate import Permit
from tests.support.operated_listener import (
    OperatedDesk,
    api,
    cancel,
    change_deployment,
    deploy,
    now,
    run_of,
    state_of,
    swept,
)
from tests.support.sending import office_on


@pytest.fixture
def mailbox_setup(server: None, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[OperatedDesk]:
    with office_on(engine) as outbound_side:

        async def opened() -> Outbound:
            return outbound_side.outbound

        async def orders() -> OrderPorts:
            return OrderPorts(SqlOutbox(engine), SqlOrderRuns(engine))

        monkeypatch.setattr(flows_outbound, "open_outbound", opened)
        monkeypatch.setattr(sweeping, "open_orders", orders)
        asyncio.run(deploy())
        yield OperatedDesk(outbound_side)


@pytest.mark.parametrize(
    ("path", "pause", "resume", "sentence"),
    [
        ("/deployments/{id}", {"paused": True}, {"paused": False}, "deployment send-batch is paused in Prefect"),
        (f"/work_pools/{POOL}", {"is_paused": True}, {"is_paused": False}, f"work pool {POOL} is paused in Prefect"),
        (
            f"/work_pools/{POOL}/queues/default",
            {"is_paused": True},
            {"is_paused": False},
            "work queue default is paused in Prefect",
        ),
    ],
    ids=["deployment", "pool", "queue"],
)
def test_what_is_paused_waits_in_the_queue_and_goes_on_by_itself(
    mailbox_setup: OperatedDesk, path: str, pause: dict[str, Any], resume: dict[str, Any], sentence: str
) -> None:
    """No receive is counted meanwhile, so no order ends as a dead letter; resuming is all that an operator has to do."""
    path = path.format(id=api("GET", f"/deployments/name/{SEND_BATCH}")["id"])
    api("PATCH", path, pause)
    batch_id = mailbox_setup.office.batch(2, now=now())
    mailbox_setup.order(batch_id, now())
    held: list[str | None] = []

    def resumed() -> bool:
        if not held and mailbox_setup.gates.held():
            held.append(mailbox_setup.gates.held())
            assert mailbox_setup.queue.most_receives == 0
            api("PATCH", path, resume)
        return mailbox_setup.empty()

    mailbox_setup.listen(resumed)

    assert held == [sentence]
    assert mailbox_setup.queue.most_receives == 1
    assert mailbox_setup.office.statuses() == ["dispatched"] * 2


def test_a_limit_of_the_deployment_bounds_what_runs_at_once(mailbox_setup: OperatedDesk) -> None:
    """Prefect does not count runs that a listener creates, so the worker does."""
    change_deployment(concurrency_limit=1)
    batches = [mailbox_setup.office.batch(2, now=now()) for _ in range(3)]
    for batch_id in batches:
        mailbox_setup.order(batch_id, now())

    mailbox_setup.listen(mailbox_setup.empty)
    change_deployment(concurrency_limit=None)

    times = sorted((run.start_time, run.end_time) for run in map(run_of, batches) if run.start_time and run.end_time)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(times))
    assert len(times) == 3
    assert mailbox_setup.office.statuses() == ["dispatched"] * 6


def test_the_last_answer_stands_while_the_server_does_not_answer(mailbox_setup: OperatedDesk) -> None:
    """An outage of Prefect must neither stop mail nor let through what an operator holds."""

    async def look_and_break() -> tuple[str | None, str | None]:
        async with run_client_context() as context:
            client: Any = context.client
            gates = Gates(client, pool=POOL, fresh_s=0)
            await gates.look()
            before = gates.held()
            client.request = None  # every request fails from here on
            await gates.look()
            return before, gates.held()

    change_deployment(paused=True)
    before, after = asyncio.run(look_and_break())
    change_deployment(paused=False)

    assert before == after == "deployment send-batch is paused in Prefect"


def test_the_pool_worker_leaves_scheduled_runs_of_a_paused_deployment(mailbox_setup: OperatedDesk) -> None:
    """The server offers them all the same; they stay Scheduled, and others do not wait for them."""
    batch_id, _ = mailbox_setup.later()
    due: Any = [type("Due", (), {"flow_run": run_of(batch_id)})]

    async def let_through() -> tuple[list[Any], list[Any]]:
        async with run_client_context() as context:
            client: Any = context.client
            worker = MailroomWorker(work_pool_name=POOL)
            worker.gates = Gates(client, pool=POOL, fresh_s=0)
            through = await worker._let_through(due)
            await asyncio.to_thread(change_deployment, paused=True)
            held = await worker._let_through(due)
            await asyncio.to_thread(change_deployment, paused=False)
            return through, held

    assert asyncio.run(let_through()) == (due, [])


def test_a_scheduled_run_that_is_cancelled_cancels_its_batch_for_good(mailbox_setup: OperatedDesk) -> None:
    """The sweep once ordered it again, and it was delivered in two of two tries."""
    batch_id, due_at = mailbox_setup.later()
    cancel(run_of(batch_id).id)

    mailbox_setup.look()
    mailbox_setup.order(batch_id, due_at)
    mailbox_setup.listen(mailbox_setup.empty)

    assert mailbox_setup.office.statuses() == ["cancelled"] * 3
    assert swept().message == "queued 0 batches again"
    assert mailbox_setup.office.provider.accepted == []


def test_a_sweep_cancels_before_it_orders(mailbox_setup: OperatedDesk) -> None:
    """The worker was away while the operator cancelled and the time came."""
    batch_id, _ = mailbox_setup.later()
    cancel(run_of(batch_id).id)
    with mailbox_setup.office.engine.begin() as connection:
        connection.exec_driver_sql("update message set due_at = now() - interval '1 hour'")
        connection.exec_driver_sql("update outbox set due_at = now() - interval '1 hour'")

    assert swept().message == "queued 0 batches again, cancelled 1"
    assert mailbox_setup.office.statuses() == ["cancelled"] * 3


def test_what_the_server_cancels_by_itself_is_no_decision_of_a_person(mailbox_setup: OperatedDesk) -> None:
    """Over a limit whose strategy is CANCEL_NEW; the batch goes by another run, once it is overdue."""
    batch_id, _ = mailbox_setup.later()
    state = {"type": "CANCELLED", "message": "Deployment concurrency limit reached."}
    api("POST", f"/flow_runs/{run_of(batch_id).id}/set_state", {"state": state, "force": True})

    mailbox_setup.look()
    looked = set(mailbox_setup.office.statuses())
    with mailbox_setup.office.engine.begin() as connection:
        connection.exec_driver_sql("update message set due_at = now() - interval '1 hour'")
        connection.exec_driver_sql("update outbox set due_at = now() - interval '1 hour'")

    assert looked == {"accepted"}
    assert swept().message == "queued 1 batches again"


def test_a_running_run_that_is_cancelled_settles_what_it_is_sending_and_sends_no_more(
    mailbox_setup: OperatedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch is cancelled first, so that nothing more can be taken; the run ends as Cancelled, and its order is gone."""
    wait = mailbox_setup.office.rate.wait

    def slowly(mails: int, **lane: Any) -> list[Permit]:
        time.sleep(0.2)
        return wait(min(mails, 5), **lane)

    monkeypatch.setattr(mailbox_setup.office.rate, "wait", slowly)
    batch_id = mailbox_setup.office.batch(2_000, now=now())
    mailbox_setup.order(batch_id, now())
    cancelled_at: list[float] = []

    def cancelled() -> bool:
        if not cancelled_at and len(mailbox_setup.office.provider.accepted) >= 10:
            cancel(run_of(batch_id).id)
            cancelled_at.append(time.monotonic())
        return mailbox_setup.empty() and state_of(run_of(batch_id)) == "Cancelled"

    mailbox_setup.listen(cancelled)
    took_s = time.monotonic() - cancelled_at[0]

    run, statuses = run_of(batch_id), mailbox_setup.office.statuses()
    assert run.state is not None
    assert (run.state.type, run.state.name) == ("CANCELLED", "Cancelled")
    assert f"{statuses.count('cancelled')} messages cancelled" in str(run.state.message)
    assert set(statuses) == {"dispatched", "cancelled"}
    assert statuses.count("dispatched") == len(mailbox_setup.office.provider.accepted) < 2_000
    assert took_s < 2_000 / 5 * 0.2, "to send all of it takes longer"
    assert swept().message == "queued 0 batches again"


def test_a_run_that_is_stuck_is_ended_all_the_same(
    mailbox_setup: OperatedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider without a rate gives no slot for hours. The run ends as Cancelled, not as Crashed, which raises an alarm."""
    monkeypatch.setattr(cancelling, "_PATIENCE_S", 0.5)
    release = threading.Event()
    monkeypatch.setattr(mailbox_setup.office.rate, "wait", lambda mails, **lane: [][: release.wait(20)])
    batch_id = mailbox_setup.office.batch(2, now=now())
    mailbox_setup.order(batch_id, now())
    cancelled: list[float] = []

    def ended() -> bool:
        if not cancelled and mailbox_setup.office.values("select 1 from batch where worked_at is not null"):
            cancel(run_of(batch_id).id)
            cancelled.append(time.monotonic())
        if not mailbox_setup.empty() or state_of(run_of(batch_id)) != "Cancelled":
            return False
        release.set()
        return True

    mailbox_setup.listen(ended)

    states = api("GET", f"/flow_run_states/?flow_run_id={run_of(batch_id).id}")
    assert [state["name"] for state in states][-2:] == ["Cancelling", "Cancelled"]
    assert mailbox_setup.office.statuses() == ["cancelled"] * 2


def test_a_running_run_that_is_deleted_sends_no_more_and_holds_the_rest(
    mailbox_setup: OperatedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody decided to send the rest; what was sent stays as it is, and its order is no dead letter."""
    wait = mailbox_setup.office.rate.wait

    def slowly(mails: int, **lane: Any) -> list[Permit]:
        time.sleep(0.2)
        return wait(min(mails, 5), **lane)

    monkeypatch.setattr(mailbox_setup.office.rate, "wait", slowly)
    batch_id = mailbox_setup.office.batch(500, now=now())
    mailbox_setup.order(batch_id, now())
    deleted: list[bool] = []

    def held() -> bool:
        if not deleted and len(mailbox_setup.office.provider.accepted) >= 10:
            api("DELETE", f"/flow_runs/{run_of(batch_id).id}")
            deleted.append(True)
        return bool(deleted) and "held" in mailbox_setup.office.statuses()

    mailbox_setup.listen(held)

    statuses = mailbox_setup.office.statuses()
    assert set(statuses) == {"dispatched", "held"}
    assert statuses.count("dispatched") == len(mailbox_setup.office.provider.accepted) < 500


def test_stopping_while_held_releases_the_order(mailbox_setup: OperatedDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker is restarted while an operator holds sending: what it had received goes to another at once."""
    rate, paused = mailbox_setup.office.rate.wait, threading.Event()
    began: list[bool] = []
    asked: list[bool] = []

    def once_paused(mails: int, **lane: Any) -> list[Permit]:
        began.append(True)
        paused.wait(60)
        return rate(mails, **lane)

    monkeypatch.setattr(mailbox_setup.office.rate, "wait", once_paused)
    for _ in range(2):
        mailbox_setup.order(mailbox_setup.office.batch(1, now=now()), now())

    def received() -> bool:
        # The first run is at work, and the other order waits for the deployment's only place: then sending is paused. The
        # first run ends only once this worker has read that; before, the other one would begin.
        if began and not asked:
            change_deployment(paused=True)
            asked.append(True)
        if asked and mailbox_setup.gates.held():
            paused.set()
        return len(mailbox_setup.queue) == 1

    change_deployment(concurrency_limit=1)
    try:
        mailbox_setup.listen(received)
    finally:
        paused.set()
        change_deployment(paused=False, concurrency_limit=None)

    assert len(mailbox_setup.queue.receive(most=10, wait_s=0)) == 1


def test_a_run_that_no_worker_has_any_more_is_cancelled_by_its_order(mailbox_setup: OperatedDesk) -> None:
    """Its worker was killed, the operator cancelled it, and its order comes back to another worker."""
    batch_id, due_at = mailbox_setup.later()
    run = run_of(batch_id)
    api("POST", f"/flow_runs/{run.id}/set_state", {"state": {"type": "RUNNING"}, "force": True})
    cancel(run.id)
    before = state_of(run)

    mailbox_setup.order(batch_id, due_at)
    mailbox_setup.listen(mailbox_setup.empty)

    assert (before, state_of(run)) == ("Cancelling", "Cancelled")
    assert mailbox_setup.office.statuses() == ["cancelled"] * 3


@pytest.mark.parametrize("found_by", ["looking", "its order", "the sweep"])
def test_a_batch_whose_run_is_gone_is_held_and_sent_once_when_resumed(
    mailbox_setup: OperatedDesk, found_by: str
) -> None:
    """Deleted, or Prefect's database restored: no person decided that it is sent, or that it is not."""
    batch_id, due_at = mailbox_setup.later()
    api("DELETE", f"/flow_runs/{run_of(batch_id).id}")
    if found_by == "looking":
        mailbox_setup.look()
    elif found_by == "its order":
        mailbox_setup.order(batch_id, due_at)
        mailbox_setup.listen(mailbox_setup.empty)
    else:
        with mailbox_setup.office.engine.begin() as connection:
            connection.exec_driver_sql("update message set due_at = now() - interval '1 hour'")
            connection.exec_driver_sql("update outbox set due_at = now() - interval '1 hour'")
        assert swept().message == "queued 0 batches again, held 1 whose run was deleted"
    held = mailbox_setup.office.values("select status || ':' || reason from message")

    with mailbox_setup.office.engine.begin() as connection:
        connection.exec_driver_sql("update message set due_at = now() - interval '1 hour'")
    SqlOutbox(mailbox_setup.office.engine).resume(None, batch_id, by="ada", now=now())
    [again] = mailbox_setup.office.orders()
    mailbox_setup.order(batch_id, again)
    mailbox_setup.listen(mailbox_setup.empty)

    assert held == ["held:run_gone"] * 3
    assert mailbox_setup.office.statuses() == ["dispatched"] * 3
    assert len(mailbox_setup.office.provider.accepted) == 3


def test_nothing_is_ordered_while_sending_is_paused(mailbox_setup: OperatedDesk) -> None:
    """Each sweep would add an order to those that wait in the queue."""
    mailbox_setup.office.batch(1, now=now() - timedelta(hours=1))
    change_deployment(paused=True)

    paused = swept().message
    change_deployment(paused=False)

    assert paused == "queued 0 batches again; send-batch is paused in Prefect"
    assert swept().message == "queued 1 batches again"


def test_a_cancelled_mail_is_closed_in_the_ledger(mailbox_setup: OperatedDesk) -> None:
    """`failed: Cancelled` waits for `mailroom replay`, and no sweep announces it."""
    ledger, run_id, ref = SqlLedger(mailbox_setup.office.engine), uuid4(), ObjectRef("mails", "in/abc123")
    claim = Lease("this", stale_before=now() - timedelta(seconds=45))
    ledger.register(Arrival(ref), now=now(), claim=claim)
    ledger.begin(ref, now=now(), run_id=str(run_id), claim=claim)
    run = FlowRun(id=run_id, flow_id=uuid4(), parameters={"bucket": ref.bucket, "key": ref.key, "version": ""})

    async def note() -> str:
        async with run_client_context() as context:
            client: Any = context.client
            return await mailbox_setup.decisions(client).note_cancelled(run)

    said = asyncio.run(note())

    entry = ledger.find("abc123")
    assert entry is not None
    assert (entry.state, entry.reason) == (State.FAILED, "cancelled")
    assert said == "its e-mail is not filed; process it with `mailroom replay`"
    assert ledger.silent(before=now() + timedelta(hours=1), limit=10) == []
