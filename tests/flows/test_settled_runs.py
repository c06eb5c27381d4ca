"""Runs on a Prefect server: the port `RunStarter`, there and in memory, and the run of a closed e-mail whose worker stopped
or died before it reported the end.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

import pytest
from prefect import get_client
from prefect.client.schemas.objects import State as RunState
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, Completed, Crashed, Failed, Running, Suspended

from deployments.worker.client import RunClient
from deployments.worker.runs import InboundRuns
from flows.receive_email import receive_email
from mailroom.adapters.prefect.http import PrefectRuns
from mailroom.domain.errors import TransientError
from mailroom.domain.inbound.received_email import Entry, ObjectRef, State
from mailroom.ports.runs import RunStarter
from mailroom.testing.runs import MemoryRuns


@pytest.mark.parametrize(
    ("standing", "reason", "left", "stale_s", "shown"),
    [
        (State.FILED, None, Crashed(), 45, ("COMPLETED", "filed")),
        (State.FILED, None, Running(), 0, ("COMPLETED", "filed")),
        (State.QUARANTINED, "virus", Crashed(), 45, ("FAILED", "quarantined: virus")),
        (State.QUARANTINED, "poison", Running(), 0, ("FAILED", "quarantined: poison")),
        # A worker that is about to say so, and what a person or the flow said.
        (State.FILED, None, Running(message="at work"), 45, ("RUNNING", "at work")),
        (State.FILED, None, Cancelled(message="by a person"), 0, ("CANCELLED", "by a person")),
        (State.FILED, None, Failed(message="said"), 0, ("FAILED", "said")),
        (State.FILED, None, Completed(message="filed; failed: hook"), 0, ("COMPLETED", "filed; failed: hook")),
    ],
)
def test_a_run_without_an_end_gets_the_ledgers(
    server: None, standing: State, reason: str | None, left: RunState, stale_s: float, shown: tuple[str, str]
) -> None:
    """A filed mail must not look Crashed, nor stay Running and be reported as a zombie each hour."""

    async def go() -> tuple[str, str | None]:
        async with get_client() as operator, RunClient() as client:
            await operator.create_deployment(await operator.create_flow(receive_email), "receive-email")
            runs, ref = InboundRuns(client), ObjectRef("mails", f"in/{uuid4()}")
            entry = Entry(str(uuid4()), ref, State.PROCESSING, envelope=None, attempts=1)
            run = await runs.get_or_create(entry)
            await operator.set_flow_run_state(run.id, left, force=True)

            await runs.settle(replace(entry, state=standing, reason=reason, run_id=str(run.id)), stale_s=stale_s)

            state = (await operator.read_flow_run(run.id)).state
            assert state is not None
            return state.type.value, state.message

    assert asyncio.run(go()) == shown


def test_a_run_that_is_gone_or_never_was_needs_no_end(server: None) -> None:
    """Prefect may have been restored, or cleaned up by an operator."""
    entry = Entry(str(uuid4()), ObjectRef("mails", "in/gone"), State.FILED, envelope=None, attempts=1)

    async def go() -> None:
        async with RunClient() as client:
            for run_id in (None, str(uuid4())):
                await InboundRuns(client).settle(replace(entry, run_id=run_id), stale_s=0)

    asyncio.run(go())


@dataclass(frozen=True, slots=True)
class Case:
    """What starts runs, and how one comes to wait for a person."""

    runs: RunStarter
    suspend: Callable[[str], object]


@pytest.fixture(params=["memory", "prefect"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "memory":
        memory = MemoryRuns()
        return Case(memory, memory.suspended.add)
    request.getfixturevalue("server")

    async def deploy() -> None:
        async with get_client() as operator:
            await operator.create_deployment(await operator.create_flow(receive_email), "receive-email")

    async def suspend(run_id: str) -> None:
        async with get_client() as operator:
            await operator.set_flow_run_state(UUID(run_id), Suspended(timeout_seconds=600), force=True)

    asyncio.run(deploy())
    prefect = PrefectRuns(api_url=str(PREFECT_API_URL.value()), ui_url="http://127.0.0.1:4200")
    return Case(prefect, lambda run_id: asyncio.run(suspend(run_id)))


def test_an_object_has_one_run_for_all_callers(case: Case) -> None:
    """The listener and `mailroom replay` may ask at the same time; the run is named for its mail."""
    first, second = ObjectRef("mails", f"in/{uuid4()}"), ObjectRef("mails", f"in/{uuid4()}")

    run, again, other = case.runs.start(first), case.runs.start(first), case.runs.start(second)

    assert (run.id, run.name) == (again.id, first.message_id)
    assert other.id != run.id
    assert run.url == f"http://127.0.0.1:4200/runs/flow-run/{run.id}"
    found = case.runs.find(run.id)
    assert found is not None
    assert (found.id, found.name, found.state) == (run.id, run.name, "Scheduled")
    assert list(case.runs.tasks(run.id)) == []


def test_a_retry_is_the_same_run_and_waits_for_a_worker(case: Case) -> None:
    """One history for one e-mail; a run that the orchestrator does not have cannot be retried."""
    run = case.runs.start(ObjectRef("mails", f"in/{uuid4()}"))

    retried = case.runs.retry(run.id)

    assert (retried.id, retried.name, retried.state) == (run.id, run.name, "AwaitingRetry")
    with pytest.raises(LookupError):
        case.runs.retry(str(uuid4()))
    assert case.runs.find(str(uuid4())) is None


def test_only_a_run_that_suspended_itself_goes_on_and_once(case: Case) -> None:
    """A breaker that is closed twice resumes its runs once."""
    waiting, other = [case.runs.start(ObjectRef("mails", f"in/{uuid4()}")) for _ in range(2)]
    case.suspend(waiting.id)

    assert [case.runs.resume(waiting.id), case.runs.resume(waiting.id)] == [True, False]
    assert [case.runs.resume(other.id), case.runs.resume(str(uuid4()))] == [False, False]


@pytest.mark.parametrize(
    "away", [MemoryRuns(down=True), PrefectRuns(api_url="http://127.0.0.1:1/api", ui_url="")], ids=["memory", "prefect"]
)
def test_an_orchestrator_that_cannot_be_reached_is_an_outage(away: RunStarter) -> None:
    """For every call: an unreachable orchestrator says nothing about the run."""
    for ask in (away.find, away.retry, away.resume, lambda run_id: list(away.tasks(run_id))):
        with pytest.raises(TransientError):
            ask("0190a1b2-0000-7000-8000-00000000000a")
    with pytest.raises(TransientError):
        away.start(ObjectRef("mails", "in/abc"))
