"""A circuit breaker in a run of `send-batch`, on a Prefect server: suspended while it is open, then continued."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from prefect import get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.settings import PREFECT_API_URL
from sqlalchemy import Engine, text

from deployments.worker.client import run_client_context
from deployments.worker.executor import WarmExecutor
from deployments.worker.runs import NextStep, next_step
from flows import send_batch as flows_outbound
from mailroom.adapters.postgres.delivery.breakers import SqlBreakers
from mailroom.adapters.prefect.http import PrefectRuns
from mailroom.outbound.dispatching import Outbound
from mailroom.ports.breakers import Broken
from tests.support.inbound_listener import holds_on_server
from tests.support.mailbox_listener import deployed
from tests.support.sending import Office, office_on


@pytest.fixture
def outbound_side(server: None, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    """An outbound side whose first hundred mails bounce: the list was bought."""
    with office_on(engine) as made:

        async def opened() -> Outbound:
            return made.outbound

        wait = made.rate.wait

        def after_a_hundred(mails: int, **lane: Any) -> int:
            if len(made.provider.accepted) == 100:
                with engine.begin() as connection:
                    connection.execute(
                        text(
                            "update message set status = 'bounced', reason = 'bounced_hard' where status = 'dispatched'"
                        )
                    )
            return wait(mails, **lane)

        monkeypatch.setattr(made.rate, "wait", after_a_hundred)
        monkeypatch.setattr(flows_outbound, "open_outbound", opened)
        yield made


async def created(batch_id: str) -> FlowRun:
    async with get_client() as client:
        await deployed(client)
        deployment = await client.read_deployment_by_name("send-batch/send-batch")
        return await client.create_flow_run_from_deployment(deployment.id, parameters={"batch_id": batch_id})


async def executed(run_id: UUID) -> FlowRun:
    """Run it as the warm worker does, and return the run."""
    async with run_client_context() as context:
        client: Any = context.client
        await WarmExecutor(client, limit=1).execute(await client.read_flow_run(run_id))
        return await client.read_flow_run(run_id)  # type: ignore[no-any-return]


def stopped(outbound_side: Office) -> tuple[FlowRun, Broken]:
    """Send a batch of 150 until the breaker stops it."""
    batch_id = outbound_side.batch(150, now=datetime.now(UTC))
    run = asyncio.run(_create_and_execute(batch_id))
    broken = SqlBreakers(outbound_side.engine).of_batch(batch_id)
    assert broken is not None
    return run, broken


async def _create_and_execute(batch_id: str) -> FlowRun:
    return await executed((await created(batch_id)).id)


def resumed(run_id: str) -> bool:
    """Resume a run by the REST API."""
    return PrefectRuns(api_url=str(PREFECT_API_URL.value()), ui_url="").resume(run_id)


def test_run_of_a_stopped_batch_is_suspended_and_says_why(outbound_side: Office) -> None:
    """The UI shows it with Resume; nothing more is sent, and its order need not come back."""
    run, broken = stopped(outbound_side)

    async def events() -> list[Any]:
        wanted = EventFilter(event=EventNameFilter(name=["mailroom.breaker.opened"]))
        async with get_client() as client:

            async def read() -> list[Any]:
                answer = await client.request("POST", "/events/filter", json={"filter": wanted.model_dump(mode="json")})
                return [one for one in answer.json()["events"] if one["payload"]["breaker"] == broken.id]

            async def there() -> bool:
                return bool(await read())

            await holds_on_server(there)
            return await read()

    [event] = asyncio.run(events())
    assert run.state is not None
    assert (run.state.type, run.state.name) == (StateType.PAUSED, "Suspended")
    assert next_step(run.state) is NextStep.LEAVE
    assert "breaker:bounces" in run.tags
    assert broken.runs == (str(run.id),)
    assert event["resource"]["prefect.resource.id"] == f"mailroom.batch.{broken.batch_id}"
    assert (event["payload"]["sent"], event["payload"]["bounced"]) == (110, 100)
    assert len(outbound_side.provider.accepted) == 110


def test_resume_in_prefect_closes_the_breaker_and_the_run_goes_on(outbound_side: Office) -> None:
    """The person who presses it has decided; each message is sent once all the same."""
    run, broken = stopped(outbound_side)

    async def resume() -> FlowRun:
        async with get_client() as client:
            await client.resume_flow_run(run.id)
        return await executed(run.id)

    ended = asyncio.run(resume())

    [closed] = SqlBreakers(outbound_side.engine).all(None, only_open=False, limit=10)
    assert ended.state is not None
    assert ended.state.type is StateType.COMPLETED
    assert (closed.id, closed.closed_by) == (broken.id, "Resume in Prefect")
    assert len(outbound_side.provider.accepted) == len(set(outbound_side.provider.accepted)) == 150


def test_closing_the_breaker_resumes_the_run(outbound_side: Office) -> None:
    """By the API or the command line: the run is scheduled, and the pool's worker takes it."""
    run, broken = stopped(outbound_side)

    SqlBreakers(outbound_side.engine).close(broken.id, by="ada", now=datetime.now(UTC))
    answers = [resumed(run_id) for run_id in (str(run.id), str(run.id), "00000000-0000-0000-0000-000000000000")]
    ended = asyncio.run(executed(run.id))

    assert answers == [True, False, False]
    assert ended.state is not None
    assert (ended.state.type, ended.state.message) == (StateType.COMPLETED, "40 dispatched")
    assert len(set(outbound_side.provider.accepted)) == 150
