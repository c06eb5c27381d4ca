"""The report of a batch's run in the Prefect UI: progress, tags, and a table of failures. Ids and codes, no addresses."""

from datetime import datetime
from uuid import UUID

from prefect import get_client
from prefect.artifacts import acreate_progress_artifact, acreate_table_artifact, aupdate_progress_artifact
from prefect.runtime import flow_run

from mailroom.domain.outbound.message import Batch
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.domain.readable import deferred_line
from mailroom.outbound.dispatch_result import DispatchResult, Failure
from mailroom.ports.breakers import Broken
from mailroom.ports.dispatch import Planned

#: The most rows of the table; the rest is in `GET /v1/messages?batch=`.
_MOST_FAILURES = 200


class Dispatching:
    """Progress of a batch in this run."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._planned: Planned | None = None
        #: The latest plan: what still waits.
        self.left: Planned | None = None
        self._artifact: UUID | None = None
        self._dispatched = 0
        self._failures: list[Failure] = []
        self._resume_at: datetime | None = None
        self._reason: OutboundReason | None = None
        self._broken: Broken | None = None

    async def begin(self, planned: Planned) -> None:
        """Show the number of due messages."""
        self._planned = self.left = planned
        if planned.due:
            words = f"Messages of batch {self._batch.id} sent, of {planned.due} due"
            made = await acreate_progress_artifact(0.0, key=f"batch-{self._batch.id}", description=words)
            self._artifact = made if isinstance(made, UUID) else None

    async def add(self, tally: DispatchResult) -> None:
        """Show the result of some sends."""
        self._dispatched += tally.dispatched
        self._failures += tally.failures
        self._resume_at, self._reason, self._broken = tally.resume_at, tally.reason, tally.broken
        await self._move()

    async def close(self) -> None:
        """Set the run's tags, and attach the failures."""
        run_id = UUID(str(flow_run.get_id()))
        async with get_client() as client:
            await client.update_flow_run(run_id, tags=sorted(self._tags()))
        if self._failures:
            await acreate_table_artifact(
                [
                    {
                        "message": one.message_id,
                        "reason": one.reason.value,
                        "what": one.what,
                        "code": one.code,
                        "what to do": one.reason.remedy,
                        "kind": one.kind,
                    }
                    for one in self._failures[:_MOST_FAILURES]
                ],
                key=f"failed-{self._batch.id}",
                description=f"{len(self._failures)} messages that were not sent, or may not have been",
            )

    def sentence(self) -> str:
        """Return the result of the run as the message of its last state."""
        words = [f"{self._dispatched} dispatched"]
        if self._failures:
            words.append(f"{len(self._failures)} failed or unknown")
        if self._planned and self._planned.suppressed:
            words.append(f"{self._planned.suppressed} suppressed")
        if self._planned and self._planned.expired:
            words.append(f"{self._planned.expired} expired")
        if self.left and self.left.deferred:
            words.append(deferred_line(self.left.deferred, self.left.deferred_until))
        if self._resume_at:
            words.append(f"the rest is delayed until {self._resume_at:%Y-%m-%d %H:%M:%S} UTC ({self._reason})")
        return ", ".join(words)

    async def _move(self) -> None:
        if self._artifact and self._planned:
            done = self._dispatched + len(self._failures)
            await aupdate_progress_artifact(self._artifact, min(100.0, round(100 * done / self._planned.due, 1)))

    def _tags(self) -> set[str]:
        tags = {f"batch:{self._batch.id}", f"tenant:{self._batch.tenant}", f"lane:{self._batch.lane}"}
        tags |= {f"failed:{word}" for one in self._failures for word in one.reason.spellings}
        tags |= {f"deferred:{self._reason}"} if self._resume_at else set()
        tags |= {f"deferred:{OutboundReason.RECIPIENT_UNAVAILABLE}"} if self.left and self.left.deferred else set()
        return tags | ({f"breaker:{self._broken.trip}"} if self._broken else set())
