"""Runs that are Running in Prefect while their steps are silent. The ledger's heartbeats show which of them still live."""

from datetime import datetime, timedelta

from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort, TaskRunSort

#: The work pool of our runs; others may share the Prefect server.
POOL = "mailroom"

#: The most runs checked in one watch, oldest first; further zombies are reported by the next.
_MOST = 200


async def find_silent_runs(now: datetime, limit: timedelta, longer: timedelta, *, but: str) -> dict[str, str]:
    """Return the Running runs whose steps have been silent for `limit`, or for `longer` in flows other than receive-email.

    By id, each with the key of the object that it receives; "" for other runs.
    """
    async with get_client() as client:
        running = await client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])),
                start_time=FlowRunFilterStartTime.model_validate({"before_": now - limit}),
            ),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL])),
            sort=FlowRunSort.START_TIME_ASC,
            limit=_MOST,
        )
        return {
            str(run.id): str(run.parameters["key"]) if _receives(run) else ""
            for run in running
            if str(run.id) != but and await _last_sign(client, run) < now - (limit if _receives(run) else longer)
        }


def _receives(run: FlowRun) -> bool:
    """Return whether the run is one of `receive-email`, which has heartbeats in the ledger."""
    return {"bucket", "key"} <= run.parameters.keys()


async def _last_sign(client: PrefectClient, run: FlowRun) -> datetime:
    """Return the run's latest activity: its own state, or the start or end of its latest step."""
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    steps = await client.read_task_runs(flow_run_filter=mine, sort=TaskRunSort.EXPECTED_START_TIME_DESC, limit=1)
    signs = [run.state.timestamp if run.state else None, run.start_time]
    signs += [at for step in steps for at in (step.start_time, step.end_time)]
    return max(at for at in signs if at is not None)
