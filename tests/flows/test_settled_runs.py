"""The run of a closed e-mail whose worker stopped or died before it said how it ended."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest
from prefect import get_client
from prefect.client.schemas.objects import State as RunState
from prefect.states import Cancelled, Completed, Crashed, Failed, Running

from deployments.worker.client import RunClient
from deployments.worker.runs import InboundRuns
from flows.receive_email import receive_email
from mailroom.domain.inbound.received_email import Entry, ObjectRef, State


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
    """A filed mail must not look Crashed, nor Running for ever and be called a zombie each hour."""

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
