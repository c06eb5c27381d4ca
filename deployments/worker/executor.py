"""Executes flow runs inside this process: no new interpreter, one client, a limit on concurrent runs."""

import asyncio
import gc
import logging
import time
from collections import defaultdict
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, cast
from uuid import UUID

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import Abort, Pause
from prefect.flow_engine import run_flow_async, run_flow_sync
from prefect.flows import load_flow_from_entrypoint
from prefect.states import Cancelled

import flows.support.results  # noqa: F401 - whatever runs here, its results are read without running what is in them
from deployments.worker.client import RunClient
from deployments.worker.draining import drain
from deployments.worker.gates import Gates
from deployments.worker.under_way import UnderWay
from mailroom.crash_points import crash_point

logger = logging.getLogger("mailroom.worker")

#: New objects before the youngest generation is collected; a run makes some ten thousand.
_COLLECT_AFTER = 20_000

#: Seconds until a changed entrypoint of a deployment takes effect.
_ENTRYPOINT_FRESH_S = 60


class WarmExecutor:
    """Executes flow runs of deployments in this process's event loop.

    Async flows only in the fast way: sync flows run in threads, at twice the client's CPU.
    """

    def __init__(self, client: RunClient, *, limit: int, gates: Gates | None = None) -> None:
        self._client, self._gates = client, gates
        # One per deployment and work queue: batches that take hours must not delay received e-mail, nor those of the
        # queue `bulk` any run of another queue.
        self._slots: dict[tuple[UUID | None, str | None], asyncio.Semaphore]
        self._slots = defaultdict(lambda: asyncio.Semaphore(limit))
        self._entrypoints: dict[UUID, tuple[float, str]] = {}
        self._flows: dict[str, Flow] = {}  # type: ignore[type-arg]
        self._under_way = UnderWay("run")

    async def execute(self, run: FlowRun) -> State | None:
        """Run `run` and return its last state; None if the server refused to start it. A run that suspends itself ends Paused.

        A run already under way here is joined, not started twice: a Retry and a redelivered message may name the same run.
        Cancelling the caller that started it cancels the run, which is then Crashed.
        """
        under_way = self._under_way.task_of(run.id)
        if under_way is not None:
            return await asyncio.shield(under_way)
        state = await self._under_way.begin(run, self._execute_or_cancel(run))
        crash_point("after", "execute")
        return state

    def under_way(self) -> dict[UUID, FlowRun]:
        """Return the runs under way here, by id."""
        return self._under_way.runs()

    async def cancel(self, run_id: UUID, *, patience_s: float) -> None:
        """End a run that a person cancelled; return once it has ended. It has `patience_s` seconds to end by itself.

        The caller sets its last state; the engine's is not reported.
        """
        task = self._under_way.task_of(run_id)
        if task is None:
            return
        self._under_way.mark_cancelled(run_id)
        self._client.cancelled(run_id)
        await drain([task], patience_s=patience_s)

    async def preload(self, deployment_id: UUID) -> None:
        """Import the deployment's flow now, so that its first run need not.

        Objects loaded by then are never freed, so the garbage collector skips them from now on.
        """
        await self._flow_at(await self._entrypoint(deployment_id))
        gc.collect()
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER, 20, 20)

    async def stop(self, *, patience_s: float) -> None:
        """Wait for the runs under way, at most `patience_s` seconds, then end them as Crashed."""
        await drain(self._under_way.tasks(), patience_s=patience_s)

    async def _execute_or_cancel(self, run: FlowRun) -> State | None:
        try:
            state = await self._execute(run)
        except asyncio.CancelledError:
            if not self._under_way.was_cancelled(run.id):
                raise
            return Cancelled()
        return Cancelled() if self._under_way.was_cancelled(run.id) else state

    async def _execute(self, run: FlowRun) -> State | None:
        async with self._slots[run.deployment_id, run.work_queue_name], self._begun(run):
            crash_point("before", "execute")
            flow = await self._flow_of(run)
            with self._client.holding(run) as held:
                how: dict[str, Any] = {"flow_run": held, "parameters": run.parameters, "return_type": "state"}
                try:
                    if flow.isasync:
                        return cast(State, await run_flow_async(flow, **how))
                    return cast(State, await asyncio.to_thread(lambda: run_flow_sync(flow, **how)))
                except Pause as pause:
                    return pause.state
                except Abort:
                    logger.warning("run %s was not allowed to continue", run.id)
                    return None

    def _begun(self, run: FlowRun) -> AbstractAsyncContextManager[None]:
        gates = self._gates
        return nullcontext() if gates is None else gates.begun(run.deployment_id, run.work_queue_name)

    async def _flow_of(self, run: FlowRun) -> Flow:  # type: ignore[type-arg]
        if run.deployment_id is None:
            raise ValueError("a run without a deployment has no entrypoint")
        return await self._flow_at(await self._entrypoint(run.deployment_id))

    async def _entrypoint(self, deployment_id: UUID) -> str:
        known = self._entrypoints.get(deployment_id)
        if known is None or time.monotonic() - known[0] > _ENTRYPOINT_FRESH_S:
            deployment = await self._client.read_deployment(deployment_id)
            if deployment.entrypoint is None:
                raise ValueError("the deployment has no entrypoint")
            known = self._entrypoints[deployment_id] = time.monotonic(), deployment.entrypoint
        return known[1]

    async def _flow_at(self, entrypoint: str) -> Flow:  # type: ignore[type-arg]
        if entrypoint not in self._flows:
            loaded: Flow = await asyncio.to_thread(load_flow_from_entrypoint, entrypoint, use_placeholder_flow=False)  # type: ignore[type-arg]
            self._flows[entrypoint] = loaded
        return self._flows[entrypoint]
