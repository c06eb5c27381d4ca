"""Applies outcomes of send runs to their batches: a cancelled run cancels the batch, a missing run holds it.

    order ── a worker created its run ──> the run ─┬─ cancelled ──> the batch is cancelled
                                                   ├─ missing ──> the batch is held (`run_gone`)
                                                   └─ anything else ──> no change

A cancel is an operator's decision. A missing run is not: it was deleted, or the orchestrator's database was restored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.ports.holds import HoldReason
from mailroom.ports.outbox import Outbox

#: The `reason` of messages whose run an operator cancelled.
CANCELLED_IN_PREFECT = OutboundReason.CANCELLED_IN_PREFECT


class RunOutcome(StrEnum):
    """The outcome of a run."""

    #: Scheduled or suspended: it starts at its time, or when an operator resumes it.
    WAITS = "waits"
    CANCELLED = "cancelled"
    GONE = "gone"
    #: Ended, or still running as far as is known.
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class OrderRun:
    """A batch with something to send, and the run of its latest order; None: no run was created."""

    batch_id: str
    run_id: str | None
    order_id: int = 0


@dataclass(slots=True)
class AppliedOutcomes:
    """Ids of batches by result: cancelled, held, waiting for their run, and `left`, which may be ordered again."""

    cancelled: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


class OrderRuns(Protocol):
    """The flow runs of orders."""

    def run_of(self, batch_id: str, due_at: datetime) -> str | None:
        """Return the run of the latest order of this batch for this time; None: none was created."""

    def written_at(self, batch_id: str, due_at: datetime) -> datetime | None:
        """Return when the latest order of this batch for this time was written; None if there is none."""

    def record_run(self, batch_id: str, due_at: datetime, *, run_id: str) -> None:
        """Record the run of this batch's orders for this time."""

    def scheduled(self, *, after: int, limit: int) -> list[OrderRun]:
        """Return batches that wait for a run to begin or a circuit breaker to close, with order ids above `after`, sorted by it."""

    def overdue(self, *, before: datetime, limit: int) -> list[OrderRun]:
        """Return the batches that `Outbox.remind` would order again, oldest first, once for each of their runs."""


def apply_outcomes(
    carried: Sequence[OrderRun], outcomes: Mapping[str, RunOutcome], *, outbox: Outbox, now: datetime
) -> AppliedOutcomes:
    """Cancel or hold these batches by the outcomes of their runs.

    Args:
        carried: The batches with their runs.
        outcomes: The outcome of each of these runs.
        outbox: Where batches are cancelled and held.
        now: The current time.
    """
    applied = AppliedOutcomes()
    for one in carried:
        outcome = outcomes[one.run_id] if one.run_id is not None else RunOutcome.OTHER
        if outcome is RunOutcome.CANCELLED:
            cancel(one.batch_id, str(one.run_id), outbox=outbox, now=now)
            applied.cancelled.append(one.batch_id)
        elif outcome is RunOutcome.GONE:
            outbox.hold([one.batch_id], reason=HoldReason.RUN_GONE, now=now)
            applied.held.append(one.batch_id)
        else:
            (applied.waits if outcome is RunOutcome.WAITS else applied.left).append(one.batch_id)
    # A batch may have several runs; the decision on one of them holds for the batch.
    decided = {*applied.cancelled, *applied.held, *applied.waits}
    applied.left = [batch_id for batch_id in dict.fromkeys(applied.left) if batch_id not in decided]
    return applied


def cancel(batch_id: str, run_id: str, *, outbox: Outbox, now: datetime) -> str:
    """Cancel a batch because its run was cancelled, and return the result as one sentence."""
    facts = {"by": "cancelled in Prefect", "run_id": run_id}
    cancelled = outbox.cancel(None, batch_id, now=now, reason=CANCELLED_IN_PREFECT, facts=facts)
    if cancelled is None:
        return "batch not found"
    return f"{cancelled.cancelled} messages cancelled, {len(cancelled.gone)} were sent or may have been"
