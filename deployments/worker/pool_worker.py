"""The worker of work pools of type `mailroom`: runs scheduled flow runs in its own process."""

import os
import socket
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, cast
from uuid import UUID

import anyio.abc
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.workers.base import BaseJobConfiguration, BaseWorker, BaseWorkerResult

from deployments.worker.client import RunClient, run_client_context
from deployments.worker.executor import WarmExecutor
from deployments.worker.gates import Gates
from deployments.worker.lanes import Lanes
from deployments.worker.runs import BULK
from mailroom import wiring

_OWN_LIMIT = 8
#: Bulk batches use at most one in this many slots, so that newsletters leave slots for other batches.
_BULK_PART = 2


class MailroomResult(BaseWorkerResult):
    """The result of a run; the engine has reported its state."""


class MailroomWorker(BaseWorker[BaseJobConfiguration, Any, MailroomResult]):
    """Polls its pool, so that Retry and Quick run in the UI, schedules and replays all run in the warm process."""

    type = "mailroom"
    job_configuration = BaseJobConfiguration
    _description = "Executes flow runs in the Mailroom worker, which also receives from the inbound queue."
    _display_name = "Mailroom"

    @classmethod
    def get_default_base_job_template(cls) -> dict[str, Any]:
        """Return a template without variables: a run uses the worker's environment, so the server has nothing to validate."""
        return {"job_configuration": {"env": {}}, "variables": {"type": "object", "properties": {}}}

    lanes: Lanes | None = None
    """Set before the worker starts, and shared with the listener, so that one bound holds for both. A worker that
    `prefect worker start` started has none; it runs everything warm, and the flow itself holds its e-mail."""

    gates: Gates | None = None
    """Set with the lanes: the server still hands out scheduled runs of a paused deployment, and does not count the
    listeners' runs."""

    _own: WarmExecutor | None = None

    is_stopping: Callable[[], bool] = staticmethod(lambda: False)
    """Asked before each poll: a worker that stops takes no more runs, and those under way go on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bulk: set[UUID] = set()
        self._let_in: dict[UUID, str] = {}

    async def setup(self) -> None:
        """Create an executor, if the worker was given no lanes."""
        if self.lanes is None:
            wiring.keep_to(wiring.WORKER)
            context = await self._exit_stack.enter_async_context(run_client_context())
            self._own = WarmExecutor(cast(RunClient, context.client), limit=self._limit or _OWN_LIMIT)
        await super().setup()

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Submit the due runs, unless the worker is stopping."""
        return [] if self.is_stopping() else await super().get_and_submit_flow_runs()

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        """Return the due runs, without bulk runs that must wait until other bulk runs have ended.

        The server puts runs of the queue `bulk` after all others, so they do not hide any.
        """
        due = await self._let_through(await super()._get_scheduled_flow_runs())
        if self._limiter is None:
            return due
        self._bulk &= set(self._limiter.statistics().borrowers)
        free = max(1, int(self._limiter.total_tokens) // _BULK_PART) - len(self._bulk)
        bulk = [one.flow_run.id for one in due if one.flow_run.work_queue_name == BULK]
        taken = set([one for one in bulk if one not in self._bulk][: max(0, free)])
        self._bulk |= taken
        return [one for one in due if one.flow_run.id in taken or one.flow_run.id not in bulk]

    async def _let_through(self, due: list[WorkerFlowRunResponse]) -> list[WorkerFlowRunResponse]:
        """Return the due runs that are not paused; a paused one stays Scheduled, and the next poll finds it."""
        if self.gates is None:
            return due
        await self.gates.look()
        self._let_in = {run: name for run, name in self._let_in.items() if run in self._submitting_flow_run_ids}
        through: list[WorkerFlowRunResponse] = []
        for one in due:
            run = one.flow_run
            name = self.gates.name_of(run.deployment_id)
            room = self.gates.room(name, run.work_queue_name) if name is not None else None
            if name is None or run.id in self._let_in:
                through.append(one)
            elif room is None or room > list(self._let_in.values()).count(name):
                self._let_in[run.id] = name
                through.append(one)
        return through

    async def run(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration,
        task_status: anyio.abc.TaskStatus[Any] | None = None,
    ) -> MailroomResult:
        """Run `flow_run` to its end."""
        identifier = f"{socket.gethostname()}:{os.getpid()}"
        if task_status is not None:
            task_status.started(identifier)
        if self.lanes is not None:
            name = self.gates.name_of(flow_run.deployment_id) if self.gates is not None else None
            with self.gates.counted(name, flow_run.work_queue_name) if self.gates and name else nullcontext():
                await self.lanes.execute_any(flow_run)
        else:
            assert self._own is not None, "set up before the first poll"
            await self._own.execute(flow_run)
        return MailroomResult(identifier=identifier, status_code=0)
