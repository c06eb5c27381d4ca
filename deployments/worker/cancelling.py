"""Ends running flow runs that a person cancels in Prefect, which leaves them Cancelling until a worker ends them.

Polled, one request for all runs of the pool: events may be missed, and a worker that was killed cancels nothing.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun

from deployments.worker.decisions import Decisions
from deployments.worker.lanes import Lanes
from mailroom.operations.loops import every
from tasks.support.run_outcomes import is_by_a_person

logger = logging.getLogger("mailroom.worker")

_EVERY_S = 3.0
#: Time for sends under way to end; no new message is taken meanwhile.
_PATIENCE_S = 8.0
#: A living worker ends its run well before this; a run that is Cancelling for longer has no worker.
_ABANDONED = timedelta(seconds=30)
_MOST = 50


class Cancelling:
    """Ends Cancelling runs that this worker has, or that no worker has."""

    def __init__(
        self, client: PrefectClient, lanes: Lanes, decisions: Decisions, *, pool: str, every_s: float = _EVERY_S
    ) -> None:
        self._client, self._lanes, self._decisions = client, lanes, decisions
        self._pool, self._every_s = pool, every_s
        self._ending: dict[UUID, asyncio.Task[None]] = {}
        self._seen: set[UUID] = set()

    async def run(self) -> None:
        """Poll until cancelled."""
        try:
            await every(self._every_s, self.look, failed=_not_found)
        finally:
            await asyncio.gather(*self._ending.values(), return_exceptions=True)

    async def look(self) -> None:
        """Begin to end Cancelling runs."""
        mine = self._lanes.under_way()
        # Only runs known at the last poll are checked: a mail is filed sooner, and costs no request.
        long = [run_id for run_id in mine if run_id in self._seen and run_id not in self._ending]
        self._seen = set(mine)
        pages = [long[start : start + _MOST] for start in range(0, len(long), _MOST)]
        known = [run for page in pages for run in await self._ask({"id": {"any_": [str(run_id) for run_id in page]}})]
        await self._note_gone([mine[run_id] for run_id in long if run_id not in {run.id for run in known}])
        cancelled = [run for run in known if run.state is not None and run.state.is_cancelled()]
        for run in await self._cancelling() + cancelled:
            if run.state is None or not is_by_a_person(run.state.message):
                continue
            abandoned = datetime.now(UTC) - run.state.timestamp > _ABANDONED
            if run.id not in self._ending and (run.id in mine or abandoned):
                self._ending[run.id] = asyncio.create_task(self._end(run), name=f"cancel-{run.id}")

    async def _end(self, run: FlowRun) -> None:
        """Write the cancel to the ledger, then end the run in Prefect."""
        try:
            if "batch_id" in run.parameters:
                # First the ledger: no further message of the batch can be leased then, and the run ends by itself.
                message = await self._decisions.note_cancelled(run)
                await self._lanes.cancel(run.id, patience_s=_PATIENCE_S)
            else:
                await self._lanes.cancel(run.id, patience_s=0)
                message = await self._decisions.note_cancelled(run)
            await self._decisions.end(run, message)
            logger.warning("run %s was stopped, because it was cancelled in Prefect", run.id)
        except Exception as error:  # noqa: BLE001 - done again at the next look
            logger.warning("run %s cannot be stopped yet: %s", run.id, type(error).__name__)
        finally:
            del self._ending[run.id]

    async def _note_gone(self, gone: list[FlowRun]) -> None:
        """Hold the waiting messages of these runs' batches; the runs then end by themselves."""
        for run in gone:
            if isinstance(batch_id := run.parameters.get("batch_id"), str):
                await self._decisions.gone(batch_id, str(run.id))

    async def _cancelling(self) -> list[FlowRun]:
        of_pool = {"name": {"any_": [self._pool]}}
        return await self._ask({"state": {"type": {"any_": ["CANCELLING"]}}}, work_pools=of_pool)

    async def _ask(self, which: dict[str, object], **more: object) -> list[FlowRun]:
        body = {"flow_runs": which, "limit": _MOST, **more}
        answer = await self._client.request("POST", "/flow_runs/filter", json=body)
        return [FlowRun.model_validate(one) for one in answer.json()]


def _not_found(error: Exception) -> None:
    """Log that a poll failed: an outage of the server; the next poll tries again."""
    logger.debug("runs that are being cancelled cannot be found: %s", type(error).__name__)
