"""The warm worker's client answers for its own runs without the server; here there is no server."""

import asyncio
from uuid import uuid4

import httpx
import pytest
from prefect.client.schemas import OrchestrationResult
from prefect.client.schemas.objects import FlowRun, FlowRunPolicy
from prefect.client.schemas.responses import SetStateStatus
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Pending, Running

from deployments.worker.client import RunClient

_NOBODY = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}


def _run() -> FlowRun:
    return FlowRun(flow_id=uuid4(), deployment_id=uuid4(), name="abc123", state=Pending())


def test_what_the_engine_reads_and_reports_at_a_start_needs_no_server() -> None:
    """Both cost the server 25 ms of each e-mail."""

    async def start(run: FlowRun) -> tuple[FlowRun, int]:
        async with RunClient() as client:
            with client.holding(run) as held:
                output = await client.update_flow_run(run.id, flow_version="1", empirical_policy=FlowRunPolicy())
                assert await client.read_flow_run(run.id) is held
                return held, output.status_code

    run = _run()
    with temporary_settings(_NOBODY):
        held, status = asyncio.run(start(run))

    assert status == httpx.codes.NO_CONTENT
    assert held.id == run.id
    assert held.deployment_id is None
    assert run.deployment_id is not None


@pytest.mark.parametrize("change", [{"tags": ["outcome:filed"]}, {"flow_version": "1"}])
def test_other_changes_of_a_held_run_are_sent_to_the_server(change: dict[str, object]) -> None:
    """Only what the deployment already states is left out."""

    async def report(run: FlowRun) -> None:
        async with RunClient() as client:
            with client.holding(run):
                await client.update_flow_run(run.id, **change)

    with temporary_settings(_NOBODY), pytest.raises(httpx.ConnectError):
        asyncio.run(report(_run()))


def test_a_run_that_ended_here_is_read_from_the_server() -> None:
    """A Retry may have changed it."""

    async def read(run: FlowRun) -> None:
        async with RunClient() as client:
            with client.holding(run):
                pass
            await client.read_flow_run(run.id)

    with temporary_settings(_NOBODY), pytest.raises(httpx.ConnectError):
        asyncio.run(read(_run()))


def test_a_run_that_was_created_running_is_not_reported_running_again() -> None:
    """Once: Running after a wait for a retry is a change, and is sent to the server."""

    async def begin(run: FlowRun) -> OrchestrationResult[object]:
        async with RunClient() as client:
            client.begun(run.id)
            with client.holding(run):
                first = await client.set_flow_run_state(run.id, Running())
                with pytest.raises(httpx.ConnectError):
                    await client.set_flow_run_state(run.id, Running())
                return first

    run = _run().model_copy(update={"state": Running()})
    with temporary_settings(_NOBODY):
        result = asyncio.run(begin(run))

    assert result.status is SetStateStatus.ACCEPT
    assert result.state == run.state


def test_a_run_that_was_retried_is_reported_running() -> None:
    """It was created Running here, never worked, and came back by a Retry: now it is Pending on the server."""

    async def begin(run: FlowRun) -> None:
        async with RunClient() as client:
            client.begun(run.id)
            with client.holding(run):
                await client.set_flow_run_state(run.id, Running())

    with temporary_settings(_NOBODY), pytest.raises(httpx.ConnectError):
        asyncio.run(begin(_run()))
