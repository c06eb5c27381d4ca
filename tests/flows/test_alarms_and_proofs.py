"""Alarms and proofs on a real Prefect server: `ensure` is idempotent; each alarm from its cause to its notification."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from prefect import get_client
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    ArtifactCollectionFilter,
    ArtifactCollectionFilterKey,
    DeploymentFilter,
    DeploymentFilterId,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Running
from prefect.variables import Variable
from sqlalchemy import Engine

from blocks.support.auditing import Auditing
from blocks.support.reconciling import Reconciling
from blocks.watch import Watching
from deployments.automations import ALARMS, NOTIFICATION, RAISE_ALARM, ensure_automations
from deployments.worker.pool_worker import MailroomWorker
from flows import audit as auditing
from flows import reconcile as reconciling
from flows import watch as watching
from flows.raise_alarm import raise_alarm
from flows.receive_email import receive_email
from flows.support.events import EventName, emit
from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.operations.monitoring import SqlMonitoring, SqlReconciliations
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.postgres.skipped_rows import note_skipped
from mailroom.audit.archive_report import ArchiveReport
from mailroom.audit.mails import Patience
from mailroom.audit.report import INBOUND, OUTBOUND, UNKNOWN_OBJECT, Report
from mailroom.domain.inbound.notifications import read_notification
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.ports.holds import HoldReason
from mailroom.ports.ledger import Lease
from mailroom.ports.monitoring import Loop
from mailroom.testing.queue import MemoryQueue
from tests.contract.test_archive_audit import Audited
from tests.support.filed_mail import inbound_on
from tests.support.inbound_listener import holds_on_server
from tests.support.prefect_server import PrefectServers
from tests.support.sending import Office, office_on


@pytest.fixture(scope="module")
def server(prefect_servers: PrefectServers) -> Iterator[None]:
    """A Prefect server of this module's own, with our pool and the deployments that alarms are about."""
    with prefect_servers.running():
        asyncio.run(_deploy())
        yield


async def _deploy() -> None:
    async with get_client() as client:
        template = MailroomWorker.get_default_base_job_template()
        await client.create_work_pool(WorkPoolCreate(name="mailroom", type="mailroom", base_job_template=template))
        for flow, name in ((raise_alarm, "raise-alarm"), (receive_email, "receive-email")):
            flow_id = await client.create_flow(flow)
            await client.create_deployment(flow_id, name, work_pool_name="mailroom", enforce_parameter_schema=False)


def watching_on(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the watch at this database, no dead letters, and the Prefect server of these tests."""

    async def opened() -> Watching:
        return Watching(SqlMonitoring(engine), {})

    monkeypatch.setattr(watching, "open_watching", opened)


async def _alarms(client: PrefectClient, alarm: str) -> list[FlowRun]:
    """Return the runs that an alarm started, once there are any."""
    found = await client.read_deployment_by_name(RAISE_ALARM)
    wanted = DeploymentFilter(id=DeploymentFilterId(any_=[found.id]))

    async def runs() -> list[FlowRun]:
        raised = await client.read_flow_runs(deployment_filter=wanted)
        return [run for run in raised if run.parameters["alarm"] == alarm]

    async def raised() -> bool:
        return bool(await runs())

    await holds_on_server(raised)
    return await runs()


def test_ensuring_is_done_once_and_keeps_what_an_operator_switched_off(server: None) -> None:
    """`ensure` runs at every start; an alarm that an operator switched off must not come back by a restart."""
    changed = replace(ALARMS[0], times=7)

    async def ensure() -> tuple[list[list[str]], list[Any]]:
        async with get_client() as client:
            output = [await ensure_automations(client), await ensure_automations(client)]
            [first] = [one for one in await client.read_automations() if one.name == f"mailroom: {ALARMS[0].name}"]
            await client.pause_automation(first.id)
            output += [await ensure_automations(client), await ensure_automations(client, [changed, *ALARMS[1:-1]])]
            there = await client.read_automations()
            await ensure_automations(client)
            return output, there

    output, there = asyncio.run(ensure())

    assert [len(names) for names in output] == [len(ALARMS), 0, 0, 2]
    first = next(one for one in there if one.name == f"mailroom: {changed.name}")
    assert (first.enabled, first.trigger.threshold) == (False, 7)
    assert f"mailroom: {ALARMS[-1].name}" not in {one.name for one in there}


def test_zombie_is_found_reported_and_crashed(server: None, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that no worker executes becomes Crashed, and the alarm is a run of `raise-alarm`.

    The other run is as silent, but its e-mail has a recent heartbeat in the ledger.
    """
    watching_on(engine, monkeypatch)

    async def watch() -> tuple[FlowRun, FlowRun, list[FlowRun]]:
        async with get_client() as client:
            await ensure_automations(client)
            deployment = await client.read_deployment_by_name("receive-email/receive-email")
            dead, alive = [
                await client.create_flow_run_from_deployment(
                    deployment.id, parameters={"bucket": "mails", "key": f"in/{name}"}, state=Running()
                )
                for name in ("dead", "alive")
            ]
            # Its worker has a lease from now on.
            now = datetime.now(UTC) + timedelta(minutes=1)
            claim = Lease(worker="its own", stale_before=now - timedelta(minutes=5))
            SqlLedger(engine).begin(ObjectRef("mails", "in/alive"), now=now, run_id=str(alive.id), claim=claim)
            await watching.watch(silent_minutes=0, long_silent_minutes=0)

            async def crashed() -> bool:
                state = (await client.read_flow_run(dead.id)).state
                return state is not None and state.type is StateType.CRASHED

            await holds_on_server(crashed)
            alarms = await _alarms(client, "zombie")
            return await client.read_flow_run(dead.id), await client.read_flow_run(alive.id), alarms

    dead, alive, alarms = asyncio.run(watch())

    assert dead.state is not None
    assert dead.state.message == "Running, but no worker is processing it"
    assert alive.state is not None
    assert alive.state.type is StateType.RUNNING
    assert [run.parameters["resource"] for run in alarms] == [f"mailroom.run.{dead.id}"]


def test_a_row_that_a_loop_steps_over_raises_an_alarm(
    server: None, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything else goes on, so only this alarm says that the row's work is not done."""
    note_skipped(engine, Loop.RELAY, [("batch 1", "unknown lane"), ("batch 2", "unknown lane")])
    watching_on(engine, monkeypatch)

    async def watch() -> tuple[State, list[FlowRun]]:
        async with get_client() as client:
            await ensure_automations(client)
            # Unreadable content of the variable: earlier findings are then reported again.
            await Variable.aset("mailroom_told", "[5", overwrite=True)
            state = await watching.watch(silent_minutes=600, long_silent_minutes=600, return_state=True)
            return state, await _alarms(client, "row skipped")

    state, alarms = asyncio.run(watch())

    assert state.message == "1 findings, 1 of them reported now"
    assert [run.parameters["resource"] for run in alarms] == ["mailroom.loop.relay"]


def test_held_batches_raise_an_alarm(server: None, outbound_side: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not sent until a person decides, so a person must be notified."""
    now, watched = datetime.now(UTC), SqlOutbox(outbound_side.engine)
    watched.hold([outbound_side.batch(20, now=now) for _ in range(2)], reason=HoldReason.RESTORED, now=now)
    watching_on(outbound_side.engine, monkeypatch)

    async def watch() -> list[FlowRun]:
        async with get_client() as client:
            await ensure_automations(client)
            await watching.watch()
            return await _alarms(client, "batches held")

    assert [run.parameters["resource"] for run in asyncio.run(watch())] == ["mailroom.held.restored"]


@pytest.fixture
def outbound_side(engine: Engine) -> Iterator[Office]:
    with office_on(engine) as made:
        yield made


def _proving(outbound_side: Office, queue: MemoryQueue, *lost: str) -> Any:
    """Return an opener whose independent check finds these objects without a ledger row."""

    def prove(patience: Patience) -> Report:
        report = Report(emit=lambda _: None, progress=lambda _: None)
        report.counts.update({"e-mails": 3, "messages": 5})
        report.balance(INBOUND, "*", "in/").update({"came": 3 + len(lost), "filed": 3})
        report.balance(OUTBOUND, "acme").update({"came": 5, "ended": 4, "pending": 1})
        for key in lost:
            report.violate(UNKNOWN_OBJECT, key, "no notification arrived for it")
        return report

    async def opened() -> Reconciling:
        engine = outbound_side.engine
        inbound = inbound_on(engine, queue=queue, bucket="mails")
        return Reconciling(inbound, outbound_side.outbound, SqlEvents(engine), SqlReconciliations(engine), prove)

    return opened


async def _artifact(client: PrefectClient) -> str:
    [latest] = await client.read_latest_artifacts(
        artifact_filter=ArtifactCollectionFilter(
            latest_id=None, key=ArtifactCollectionFilterKey(any_=["reconciliation"])
        )
    )
    return str(latest.data)


def test_proof_of_an_installation_in_order_says_so(
    server: None, outbound_side: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zero differences is shown too: without it an operator cannot know whether the check ran."""
    queue = MemoryQueue()
    monkeypatch.setattr(reconciling, "open_reconciling", _proving(outbound_side, queue))

    async def prove() -> tuple[State, str]:
        state = await reconciling.reconcile(return_state=True)
        async with get_client() as client:
            return state, await _artifact(client)

    state, shown = asyncio.run(prove())

    proof = SqlReconciliations(outbound_side.engine).last()
    assert state.message == "3 e-mails, 5 messages: nothing lost"
    assert "**0 differences**" in shown
    assert "| all | `in/` | 3 | 3 | 0 | 0 | 0 | 0 |" in shown
    assert "| `acme` | 5 | 4 | 1 | 0 |" in shown
    assert proof is not None
    assert proof.differences == {"inbound": 0, "outbound": 0}
    assert len(queue) == 0


def test_difference_is_shown_by_its_id_repaired_and_raises_an_alarm(
    server: None, outbound_side: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object whose notification was lost is announced again; the loss is reported all the same."""
    queue = MemoryQueue()
    monkeypatch.setattr(reconciling, "open_reconciling", _proving(outbound_side, queue, "in/forgotten"))

    async def prove() -> tuple[State, str, list[FlowRun]]:
        async with get_client() as client:
            await ensure_automations(client)
            state = await reconciling.reconcile(return_state=True)
            return state, await _artifact(client), await _alarms(client, "reconcile difference")

    state, shown, alarms = asyncio.run(prove())

    proof = SqlReconciliations(outbound_side.engine).last()
    [announced] = queue.receive(most=10, wait_s=0)
    assert state.message == "1 inbound, 0 outbound differences"
    assert "| unknown object | `in/forgotten` |" in shown
    assert "| all | `in/` | 4 | 3 | 0 | 0 | 0 | 1 |" in shown
    assert proof is not None
    assert proof.differences == {"inbound": 1, "outbound": 0}
    assert [arrival.ref.key for arrival in read_notification(announced.body)] == ["in/forgotten"]
    assert [run.parameters["resource"] for run in alarms] == ["mailroom.reconciliation"]


def test_differences_of_the_archive_count_and_each_run_goes_on_where_the_last_one_stopped(
    server: None, outbound_side: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Millions of versions are compared over days; findings are in the artifact and count like any other difference."""
    asked: list[tuple[str, int]] = []

    def compare(_: Patience, after: str, most: int) -> tuple[Report, str]:
        asked.append((after, most))
        report = Report(emit=lambda _: None, progress=lambda _: None)
        report.counts["archive versions"] = 2
        report.violate("versions", "acme/aa/|1", "remove it")
        return report, "" if after else "acme/aa/1"

    async def opened() -> Reconciling:
        return replace(await _proving(outbound_side, MemoryQueue())(), compare=compare)

    monkeypatch.setattr(reconciling, "open_reconciling", opened)

    async def prove() -> tuple[list[State], str]:
        states = [await reconciling.reconcile(archive_versions=2, return_state=True) for _ in range(3)]
        async with get_client() as client:
            return states, await _artifact(client)

    states, shown = asyncio.run(prove())

    assert asked == [("", 2), ("acme/aa/1", 2), ("", 2)]
    assert {state.message for state in states} == {"1 inbound, 0 outbound differences"}
    assert "| versions | `acme/aa/&#124;1` | remove it |" in shown
    assert "versions of the archive compared with their receipts: 2" in shown


def test_document_without_a_good_copy_raises_one_alarm_however_often_it_is_read(
    server: None, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never silent, and not repeated each hour; the run says what is open, and records are verified once a day."""
    audited, verified = Audited(engine, copied=False), list[datetime]()
    audited.drop("first", 1)

    async def opened() -> Auditing:
        return audited.ports(lambda now: verified.append(now) or ArchiveReport())

    monkeypatch.setattr(auditing, "open_auditing", opened)

    async def audit() -> tuple[list[State], list[FlowRun]]:
        async with get_client() as client:
            await ensure_automations(client)
            states = [await auditing.audit(return_state=True) for _ in range(3)]
            return states, await _alarms(client, "archive damage")

    states, alarms = asyncio.run(audit())

    assert [run.parameters["resource"] for run in alarms] == [f"mailroom.archive.{audited.ids[1]}"]
    assert [state.message for state in states] == [
        "3 copies, 0 MiB read, 0 repaired, 1 documents with damage: see docs/archive.md"
    ] * 3
    assert len(verified) == 1


@contextmanager
def _ops() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """An operator's notification endpoint: its URL, and what was posted to it."""
    posts: list[dict[str, str]] = []

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as served:
        Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}/ops", posts
        served.shutdown()


def test_alarms_reach_a_person_by_the_operators_own_block(server: None) -> None:
    """Also for absent events: Prefect notices, runs the alarm, and posts to the block."""
    quick = replace(next(one for one in ALARMS if one.absent), within=timedelta(seconds=10))

    async def watch(url: str, posts: list[dict[str, str]]) -> list[FlowRun]:
        async def notified(alarm: str) -> None:
            async def is_posted() -> bool:
                return any(post["subject"] == f"Mailroom: {alarm}" for post in posts)

            await holds_on_server(is_posted)

        said = {"subject": "{{subject}}", "body": "{{body}}"}
        block = CustomWebhookNotificationBlock(name="ops", url=url, json_data=said)
        document = await block.asave(NOTIFICATION)
        async with get_client() as client:
            await ensure_automations(client, [*ALARMS[:-1], quick])
            await notified("nobody watches")
            emit(EventName.DEAD_LETTERS, "queue.inbound", facts={"messages": 3})
            await notified("dead letters")
            raised = await _alarms(client, "nobody watches")
            await client.delete_block_document(document)
            await ensure_automations(client)
        return raised

    with _ops() as (url, posts):
        raised = asyncio.run(watch(url, posts))

    bodies = {post["subject"]: post["body"] for post in posts}
    assert raised[0].parameters["resource"] == ""
    assert bodies["Mailroom: nobody watches"] == f"{quick.about}\n\nWhat to do: see docs/operations.md"
    assert "\n\nmailroom.queue.inbound\n\n" in bodies["Mailroom: dead letters"]
