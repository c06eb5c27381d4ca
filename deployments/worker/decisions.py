"""An operator's decisions about runs in Prefect: recorded in the ledger first, then completed in Prefect.

*Cancel* of a `send-batch` run cancels its batch; of a `receive-email` run it closes the e-mail as `failed: cancelled`.
A deleted run is no decision: its batch is held until a person resumes or cancels it.
"""

import asyncio
import logging
from datetime import UTC, datetime

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled

from mailroom.domain.inbound.received_email import CANCELLED, FINAL, State
from mailroom.outbound.mailbox import BatchOrder
from mailroom.outbound.run_outcomes import OrderRuns, apply_outcomes, cancel
from mailroom.ports.holds import HoldReason
from mailroom.ports.ledger import Ledger
from mailroom.ports.outbox import Outbox
from tasks.support.run_outcomes import is_by_a_person, outcomes_of

logger = logging.getLogger("mailroom.worker")

#: Batches checked in one pass; the next pass continues from there.
_AT_ONCE = 200

_HELD = "batch %s is held: its run %s was deleted from Prefect; send it with `mailroom batch resume %s`, or cancel it"


class Decisions:
    """Records an operator's decisions in the ledger."""

    def __init__(self, client: PrefectClient, *, outbox: Outbox, runs: OrderRuns, ledger: Ledger) -> None:
        self._client, self._outbox, self._runs, self._ledger = client, outbox, runs, ledger
        self._looked_to = 0

    async def run_of(self, order: BatchOrder) -> str | None:
        """Return the run of this order, None where none was created."""
        return await asyncio.to_thread(self._runs.run_of, order.batch_id, order.due_at)

    async def ordered_since(self, order: BatchOrder, run: FlowRun) -> datetime | None:
        """Return when the order was made, if that was after a person cancelled its run; None: the cancel stands.

        A batch that is rescheduled back to an earlier chosen time has that time's run, which a person may have cancelled
        meanwhile.
        """
        if run.state is None or not run.state.is_cancelled():
            return None
        written_at = await asyncio.to_thread(self._runs.written_at, order.batch_id, order.due_at)
        return written_at if written_at is not None and written_at > run.state.timestamp else None

    async def record_run(self, order: BatchOrder, run: FlowRun) -> None:
        """Record the run of this order."""
        await asyncio.to_thread(self._runs.record_run, order.batch_id, order.due_at, run_id=str(run.id))

    async def gone(self, batch_id: str, run_id: str) -> None:
        """Hold the waiting messages of a batch whose run was deleted; a second call holds nothing more."""
        hold = self._outbox.hold
        held = await asyncio.to_thread(hold, [batch_id], reason=HoldReason.RUN_GONE, now=datetime.now(UTC))
        if held:
            logger.error(_HELD, batch_id, run_id, batch_id)

    async def cancelled(self, run: FlowRun) -> None:
        """Record a person's cancel in the ledger, then set the run to Cancelled, if it is not yet."""
        if run.state is None or not is_by_a_person(run.state.message):
            return
        message = await self.note_cancelled(run)
        await self.end(run, message)

    async def note_cancelled(self, run: FlowRun) -> str:
        """Record the cancel of a run in the ledger, and return the outcome as a sentence."""
        parameters = run.parameters
        if isinstance(batch_id := parameters.get("batch_id"), str):
            message = await asyncio.to_thread(cancel, batch_id, str(run.id), outbox=self._outbox, now=datetime.now(UTC))
            logger.warning(
                "batch %s is cancelled, because its run %s was cancelled in Prefect: %s", batch_id, run.id, message
            )
            return message
        if {"bucket", "key"} <= parameters.keys():
            return await asyncio.to_thread(self._close_email, str(run.id))
        return "cancelled by an operator"

    async def end(self, run: FlowRun, message: str) -> None:
        """Set a run to Cancelled, if it is not yet; a run that was deleted meanwhile is skipped."""
        if run.state is not None and run.state.is_cancelled():
            return
        try:
            await self._client.set_flow_run_state(run.id, Cancelled(message=message), force=True)
        except ObjectNotFound:
            logger.warning("run %s was deleted while it was being cancelled", run.id)

    async def look(self) -> None:
        """Check the runs of waiting batches, some in each pass."""
        page = await asyncio.to_thread(self._runs.scheduled, after=self._looked_to, limit=_AT_ONCE)
        self._looked_to = page[-1].order_id if len(page) == _AT_ONCE else 0
        if not page:
            return
        fates = await outcomes_of(self._client, {str(one.run_id) for one in page})
        obeyed = await asyncio.to_thread(apply_outcomes, page, fates, outbox=self._outbox, now=datetime.now(UTC))
        for batch_id in obeyed.cancelled:
            logger.warning("batch %s is cancelled, because its run was cancelled in Prefect", batch_id)
        runs = {one.batch_id: one.run_id for one in page}
        for batch_id in obeyed.held:
            logger.error(_HELD, batch_id, runs[batch_id], batch_id)

    def _close_email(self, run_id: str) -> str:
        entry = self._ledger.find(run_id)
        if entry is None or entry.state in FINAL:
            return "its e-mail was already processed" if entry else "it had no e-mail yet"
        self._ledger.close(entry.id, State.FAILED, now=datetime.now(UTC), reason=CANCELLED)
        return "its e-mail is not filed; process it with `mailroom replay`"
