"""Outcomes of runs on the Prefect server: requested by id, which is the only way to notice a deleted run."""

from collections.abc import Collection

from prefect import get_client
from prefect.client.orchestration import PrefectClient

from mailroom.outbound.run_outcomes import OrderRun, RunOutcome
from tasks.support.steps import step

#: The server's page size: the most runs in one response.
_AT_ONCE = 200

_RUN_OUTCOMES = {
    "SCHEDULED": RunOutcome.WAITS,
    "PAUSED": RunOutcome.WAITS,
    "CANCELLING": RunOutcome.CANCELLED,
    "CANCELLED": RunOutcome.CANCELLED,
}

_SENDS = {"name": {"any_": ["send-batch"]}}


@step("ask fates")
async def read_outcomes(carried: Collection[OrderRun]) -> dict[str, RunOutcome]:
    """Return the outcome of the run of each of these batches."""
    async with get_client() as client:
        return await outcomes_of(client, {one.run_id for one in carried if one.run_id is not None})


@step("ask whether sending is paused")
async def is_sending_paused() -> bool:
    """Return whether an operator paused the deployment `send-batch`; its orders wait in the queue meanwhile."""
    async with get_client() as client:
        answer = await client.request("POST", "/deployments/filter", json={"deployments": _SENDS, "flows": _SENDS})
    return any(one["paused"] for one in answer.json())


def is_by_a_person(message: str | None) -> bool:
    """Return whether a run was cancelled by a person, by its state's message.

    The server cancels runs too: over a deployment's limit whose collision strategy is CANCEL_NEW, or of a deployment that
    was deleted. Neither is a decision about the batch.
    """
    return not (message or "").startswith("Deployment ")


async def outcomes_of(client: PrefectClient, run_ids: Collection[str]) -> dict[str, RunOutcome]:
    """Return the outcome of each of these runs; `GONE` is one that the server does not have."""
    outcomes, wanted = dict.fromkeys(run_ids, RunOutcome.GONE), sorted(run_ids)
    for start in range(0, len(wanted), _AT_ONCE):
        query = {"flow_runs": {"id": {"any_": wanted[start : start + _AT_ONCE]}}, "limit": _AT_ONCE}
        for run in (await client.request("POST", "/flow_runs/filter", json=query)).json():
            outcome = _RUN_OUTCOMES.get(run["state_type"] or "", RunOutcome.OTHER)
            if outcome is RunOutcome.CANCELLED and not is_by_a_person((run.get("state") or {}).get("message")):
                outcome = RunOutcome.OTHER
            # A run outside the work queue that it was scheduled in is never given to a worker.
            lost = outcome is RunOutcome.WAITS and run["state_type"] == "SCHEDULED" and run.get("work_queue_id") is None
            outcomes[run["id"]] = RunOutcome.OTHER if lost else outcome
    return outcomes
