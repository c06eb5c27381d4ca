"""Chooses where a run executes: in the warm process or, once its e-mail has killed a process, alone in a child process.

The child is limited in memory and time (see `deployments/worker/isolated.py`), runs the same flow run, and leases the
e-mail in this worker's name. One runs at a time, so that warm runs keep most of the machine.
"""

import asyncio
import logging
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.objects import State as RunState
from prefect.states import Cancelled, Crashed, Failed

from deployments.worker.draining import drain
from deployments.worker.executor import WarmExecutor
from deployments.worker.isolated import OUT_OF_MEMORY, WALL_S
from deployments.worker.under_way import UnderWay
from mailroom.archive.mail_manifests import keep_unopened
from mailroom.domain.errors import ConfigurationError, Reason
from mailroom.domain.inbound.received_email import FINAL, MOST_DEATHS, Arrival, Entry, ObjectRef, State
from mailroom.inbound.lease import WORKER_VARIABLE, lease_at
from mailroom.ports.ledger import Ledger
from mailroom.ports.manifests import Manifests

logger = logging.getLogger("mailroom.worker")

#: "off" in a drill: it kills workers hundreds of times, through no fault of their mails.
ISOLATION_VARIABLE = "MAILROOM_ISOLATION"

#: Niceness of the child, from its first import on: importing Prefect is most of its CPU time.
_NICENESS = 10


class Lanes:
    """The warm lane and the isolated one."""

    def __init__(
        self, executor: WarmExecutor, ledger: Ledger, manifests: Manifests, client: PrefectClient, *, worker: str
    ) -> None:
        self._executor, self._ledger, self._client, self._worker = executor, ledger, client, worker
        self._manifests = manifests
        self._isolates = os.environ.get(ISOLATION_VARIABLE, "on") != "off"
        self._alone = asyncio.Semaphore(1)
        self._isolated = UnderWay("isolated")

    async def execute(self, run: FlowRun, entry: Entry) -> RunState | None:
        """Run `run` of `entry`, which this worker leases, to its end; None if it was not allowed to start or could not.

        An e-mail that has killed too many processes is not run automatically any more; a person's replay runs it once.
        """
        if entry.deaths == 0 or not self._isolates:
            return await self._executor.execute(run)
        if entry.deaths >= MOST_DEATHS and entry.state not in FINAL:
            return await self._give_up(run, entry)
        under_way = self._isolated.task_of(run.id)
        if under_way is not None:
            return await asyncio.shield(under_way)
        return await self._isolated.begin(run, self._execute_alone(run, entry))

    async def execute_any(self, run: FlowRun) -> RunState | None:
        """Run what was scheduled elsewhere: a Retry, a Quick run, a replay, or a run of another deployment.

        Looking the e-mail up counts the death of the worker that had it, and decides which lane it needs. Where another
        living worker has the lease, the flow itself gives up.
        """
        ref = _object_of(run)
        entry = None
        if ref is not None:
            now = datetime.now(UTC)
            entry = await asyncio.to_thread(self._ledger.register, Arrival(ref), now=now, claim=lease_at(now))
        return await (self.execute(run, entry) if entry else self._executor.execute(run))

    def under_way(self) -> dict[UUID, FlowRun]:
        """Return the runs under way in this worker, by id."""
        return self._executor.under_way() | self._isolated.runs()

    async def cancel(self, run_id: UUID, *, patience_s: float) -> None:
        """End a run that a person cancelled; return once it has ended."""
        alone = self._isolated.task_of(run_id)
        if alone is not None:
            self._isolated.mark_cancelled(run_id)
            await drain([alone], patience_s=0)
        await self._executor.cancel(run_id, patience_s=patience_s)

    async def stop(self, *, patience_s: float) -> None:
        """Wait for the runs under way, at most `patience_s` seconds, then end them."""
        for task in self._isolated.tasks():
            task.cancel()
        await self._executor.stop(patience_s=patience_s)

    async def _execute_alone(self, run: FlowRun, entry: Entry) -> RunState | None:
        try:
            async with self._alone:
                logger.warning(
                    "run %s continues in an isolated process: its e-mail killed %d processes", run.id, entry.deaths
                )
                died = await _in_child(run.id, self._worker)
        except asyncio.CancelledError:
            if not self._isolated.was_cancelled(run.id):
                raise
            return Cancelled()
        if died is None:
            return (await self._client.read_flow_run(run.id)).state
        await asyncio.to_thread(keep_unopened, entry, Reason.POISON, manifests=self._manifests)
        standing = await asyncio.to_thread(
            self._ledger.record_death, entry.id, now=datetime.now(UTC), facts={"died": died}
        )
        logger.error("the process of run %s died (%s); its e-mail is %s", run.id, died, standing)
        return await self._report_state(run.id, standing, f"its process died: {died}")

    async def _give_up(self, run: FlowRun, entry: Entry) -> RunState | None:
        facts, now = {"deaths": entry.deaths}, datetime.now(UTC)
        close = self._ledger.close
        await asyncio.to_thread(keep_unopened, entry, Reason.POISON, manifests=self._manifests)
        standing = await asyncio.to_thread(
            close, entry.id, State.QUARANTINED, now=now, reason=Reason.POISON, facts=facts
        )
        return await self._report_state(run.id, standing, "")

    async def _report_state(self, run_id: UUID, standing: State, why: str) -> RunState:
        """Set the state that the dead process could not set."""
        state: RunState = Crashed(message=why)
        if standing is State.QUARANTINED:
            state = Failed(message=f"{standing}: {Reason.POISON}")
        await self._client.set_flow_run_state(run_id, state, force=True)
        return state


async def _in_child(run_id: UUID, worker: str) -> str | None:
    """Run `run_id` in a child process; return its cause of death, None if it ended normally."""
    command = [sys.executable, "-m", "deployments.worker.isolated", str(run_id), str(os.getpid())]
    environment = os.environ | {WORKER_VARIABLE: worker}
    child = await asyncio.create_subprocess_exec(*command, env=environment, stdin=asyncio.subprocess.DEVNULL)
    with suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, child.pid, _NICENESS)
    try:
        code = await asyncio.wait_for(child.wait(), WALL_S)
    except TimeoutError:
        child.kill()
        await child.wait()
        return "time"
    except asyncio.CancelledError:
        child.kill()
        await child.wait()
        raise
    if code == OUT_OF_MEMORY:
        return "memory"
    if code > 0:
        logger.warning("the isolated process of run %s failed: exit code %d", run_id, code)
    return f"signal {-code}" if code < 0 else None


def _object_of(run: FlowRun) -> ObjectRef | None:
    """Return the object of a `receive-email` run; None for runs of other flows."""
    if set(run.parameters) - {"version"} != {"bucket", "key"}:
        return None
    try:
        return ObjectRef(**run.parameters)
    except ConfigurationError:
        return None  # The flow reports its invalid parameters.
