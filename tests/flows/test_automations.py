"""The alarms on a real Prefect server: ensured as often as one likes, and one of them from its cause to its end."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Running
from prefect.testing.utilities import prefect_test_harness

from blocks.watching import Watching
from deployments.automations import ALARMS, ensure_automations
from deployments.pool_worker import MailroomWorker
from flows import watching
from flows.alarms import raise_alarm
from flows.inbound import receive_email
from mailroom.watching import OutboundCensus
from tests.flows.surroundings import holds_on_server


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    """A Prefect server of this module's own, with our pool and the deployments that alarms are about."""
    with prefect_test_harness(server_startup_timeout=120):
        asyncio.run(_deploy())
        yield


async def _deploy() -> None:
    async with get_client() as client:
        template = MailroomWorker.get_default_base_job_template()
        await client.create_work_pool(WorkPoolCreate(name="mailroom", type="mailroom", base_job_template=template))
        for flow, name in ((raise_alarm, "raise-alarm"), (receive_email, "receive-email")):
            flow_id = await client.create_flow(flow)
            await client.create_deployment(flow_id, name, work_pool_name="mailroom", enforce_parameter_schema=False)


class Watched:
    """The port `Watch` of an installation where nothing waits and nobody works."""

    def __init__(self) -> None:
        self.alive: set[str] = set()

    def census(self, *, now: datetime) -> OutboundCensus:
        return OutboundCensus()

    def waiting_since(self, *, now: datetime) -> Mapping[str, datetime]:
        return {}

    def in_hand(self, run_ids: Sequence[str], *, since: datetime) -> set[str]:
        return self.alive & set(run_ids)


async def _runs(client: PrefectClient, deployment: str) -> list[FlowRun]:
    found = await client.read_deployment_by_name(deployment)
    wanted = DeploymentFilter(id=DeploymentFilterId(any_=[found.id]))
    return await client.read_flow_runs(deployment_filter=wanted)


def test_ensuring_is_done_once_and_keeps_what_an_operator_switched_off(server: None) -> None:
    """It is called at every start of every stack; an alarm that somebody silenced must not come back by a restart."""
    changed = replace(ALARMS[0], times=7)

    async def ensure() -> tuple[list[list[str]], list[Any]]:
        async with get_client() as client:
            told = [await ensure_automations(client), await ensure_automations(client)]
            [first] = [one for one in await client.read_automations() if one.name == f"mailroom: {ALARMS[0].name}"]
            await client.pause_automation(first.id)
            told += [await ensure_automations(client), await ensure_automations(client, [changed, *ALARMS[1:-1]])]
            there = await client.read_automations()
            await ensure_automations(client)
            return told, there

    told, there = asyncio.run(ensure())

    assert [len(names) for names in told] == [len(ALARMS), 0, 0, 2]
    first = next(one for one in there if one.name == f"mailroom: {changed.name}")
    assert (first.enabled, first.trigger.threshold) == (False, 7)
    assert f"mailroom: {ALARMS[-1].name}" not in {one.name for one in there}


def test_zombie_is_found_told_and_mended(server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the cause to the end: a run that nobody works on becomes Crashed, and an alarm is a run of its own.

    The other run is as silent, but the ledger has a sign of life of its e-mail.
    """
    watched = Watched()

    async def opened() -> Watching:
        return Watching(watched, {})

    monkeypatch.setattr(watching, "open_watching", opened)

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
            watched.alive.add(str(alive.id))
            await watching.watch(silent_minutes=0, long_silent_minutes=0)

            async def mended() -> bool:
                state = (await client.read_flow_run(dead.id)).state
                return state is not None and state.type is StateType.CRASHED

            async def raised() -> bool:
                return any(
                    run.parameters["alarm"] == "zombie" for run in await _runs(client, "raise-alarm/raise-alarm")
                )

            await holds_on_server(mended)
            await holds_on_server(raised)
            runs = [
                run for run in await _runs(client, "raise-alarm/raise-alarm") if run.parameters["alarm"] == "zombie"
            ]
            return await client.read_flow_run(dead.id), await client.read_flow_run(alive.id), runs

    dead, alive, alarms = asyncio.run(watch())

    assert dead.state is not None
    assert dead.state.message == "Running, and nobody works on it"
    assert alive.state is not None
    assert alive.state.type is StateType.RUNNING
    assert [run.parameters["resource"] for run in alarms] == [f"mailroom.run.{dead.id}"]
