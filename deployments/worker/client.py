"""A Prefect client that saves requests about runs that this process holds.

The engine sends the retry policy of each run at its start, and reads the run again once it is Running. For a run that
this process has just created or received, both are redundant, and cost the server 25 ms of its one core.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas import OrchestrationResult
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import SetStateStatus, StateAcceptDetails
from prefect.context import AsyncClientContext
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_API_URL

#: Relations of a run besides its flow. Each adds a row to each event of each task, and the engine opens another
#: WebSocket (150 ms) for a run with a deployment. The run on the server keeps them all, so Retry works.
_RELATIONS = dict.fromkeys(("deployment_id", "work_queue_id", "work_queue_name", "work_pool_id", "work_pool_name"))


class RunClient(PrefectClient):
    """Answers requests about the runs that it holds; all others go to the server."""

    def __init__(self) -> None:
        super().__init__(
            PREFECT_API_URL.value(), auth_string=PREFECT_API_AUTH_STRING.value(), api_key=PREFECT_API_KEY.value()
        )
        self._held: dict[UUID, FlowRun] = {}
        self._begun: set[UUID] = set()
        self._cancelled: set[UUID] = set()

    def begun(self, run_id: UUID) -> None:
        """Note that this process created the run as Running; the engine need not report that state."""
        self._begun.add(run_id)

    def cancelled(self, run_id: UUID) -> None:
        """Note that a person cancelled a running run; the engine's last state (Crashed or Completed) is not reported."""
        self._cancelled.add(run_id)

    @contextmanager
    def holding(self, run: FlowRun) -> Iterator[FlowRun]:
        """Yield the copy of `run` for the engine, and answer requests about it meanwhile."""
        copy = self._held[run.id] = run.model_copy(update=_RELATIONS)
        try:
            yield copy
        finally:
            del self._held[run.id]
            self._begun.discard(run.id)
            self._cancelled.discard(run.id)

    async def read_flow_run(self, flow_run_id: UUID) -> FlowRun:
        """Return the run; a held one without a request."""
        return self._held.get(flow_run_id) or await super().read_flow_run(flow_run_id)

    async def set_flow_run_state(
        self, flow_run_id: UUID | str, state: State[Any], force: bool = False
    ) -> OrchestrationResult[Any]:
        """Propose a state; a held run counts its attempts as the server does."""
        held = self._held.get(UUID(str(flow_run_id)))
        if held is not None and held.id in self._cancelled:
            return OrchestrationResult(status=SetStateStatus.ACCEPT, details=StateAcceptDetails(), state=state)
        if (
            held is not None
            and held.id in self._begun
            and state.is_running()
            and held.state
            and held.state.is_running()
        ):
            self._begun.remove(held.id)
            return OrchestrationResult(status=SetStateStatus.ACCEPT, details=StateAcceptDetails(), state=held.state)
        result: OrchestrationResult[Any] = await super().set_flow_run_state(flow_run_id, state, force)
        if held is not None and result.state is not None and result.state.is_running():
            held.run_count += 1
        return result

    async def update_flow_run(self, flow_run_id: UUID, *args: Any, **changes: Any) -> httpx.Response:
        """Change a run; its policy and version, which come from its deployment, are not sent again."""
        if not args and changes.keys() == {"flow_version", "empirical_policy"} and flow_run_id in self._held:
            return httpx.Response(httpx.codes.NO_CONTENT)
        return await super().update_flow_run(flow_run_id, *args, **changes)


def run_client_context() -> AsyncClientContext:
    """Return the context under which Prefect's engine uses one `RunClient` for all runs."""
    context = AsyncClientContext()
    context.client = RunClient()
    return context
