"""What became of the runs that carry batches, written to the ledger: an operator's cancel is final, a run that is gone is held.

    order ── a worker made its run ──> carried by the run ─┬─ cancelled ──> the batch is cancelled
                                                           ├─ not there any more ──> the batch is held (`run_gone`)
                                                           └─ anything else ──> nothing to write

A cancel is a person's decision. A run that is gone is nobody's: it was deleted, or the orchestrator's database was restored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.ports.holds import HoldReason
from mailroom.ports.outbox import Outbox

#: Why messages are cancelled whose run a person cancelled; their `reason`.
CANCELLED_IN_PREFECT = OutboundReason.CANCELLED_IN_PREFECT


class RunOutcome(StrEnum):
    """What became of a run."""

    #: It is scheduled or suspended: it begins by itself, or when a person resumes it.
    WAITS = "waits"
    CANCELLED = "cancelled"
    GONE = "gone"
    #: It ended, or is under way for all that is known.
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class OrderRun:
    """A batch with something to send, and the run that carries its latest order; None: no run was made of it."""

    batch_id: str
    run_id: str | None
    order_id: int = 0


@dataclass(slots=True)
class AppliedOutcomes:
    """What came of it, by batch: cancelled, held, waiting for its run, and left, which may be ordered again."""

    cancelled: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


class OrderRuns(Protocol):
    """Which run carries which order."""

    def run_of(self, batch_id: str, due_at: datetime) -> str | None:
        """Return the run of the latest order of this batch for this time; None: none was made of it."""

    def written_at(self, batch_id: str, due_at: datetime) -> datetime | None:
        """Return when the latest order of this batch for this time was written; None: there is none."""

    def record_run(self, batch_id: str, due_at: datetime, *, run_id: str) -> None:
        """Note the run that carries the orders of this batch for this time."""

    def scheduled(self, *, after: int, limit: int) -> list[OrderRun]:
        """Return batches that wait for a run to begin, or for a circuit breaker to close, by order id from behind `after` on."""

    def overdue(self, *, before: datetime, limit: int) -> list[OrderRun]:
        """Return the batches that `Outbox.remind` would order again, oldest first, once for each run that carries some of it."""


def apply_outcomes(
    carried: Sequence[OrderRun], fates: Mapping[str, RunOutcome], *, outbox: Outbox, now: datetime
) -> AppliedOutcomes:
    """Write to the ledger what became of the runs of these batches.

    Args:
        carried: The batches.
        fates: What became of each run that they name.
        outbox: Where they are cancelled and held.
        now: The time.
    """
    obeyed = AppliedOutcomes()
    for one in carried:
        fate = fates[one.run_id] if one.run_id is not None else RunOutcome.OTHER
        if fate is RunOutcome.CANCELLED:
            cancel(one.batch_id, str(one.run_id), outbox=outbox, now=now)
            obeyed.cancelled.append(one.batch_id)
        elif fate is RunOutcome.GONE:
            outbox.hold([one.batch_id], reason=HoldReason.RUN_GONE, now=now)
            obeyed.held.append(one.batch_id)
        else:
            (obeyed.waits if fate is RunOutcome.WAITS else obeyed.left).append(one.batch_id)
    # Several runs may carry a batch; what is decided of one of them is decided of all.
    decided = {*obeyed.cancelled, *obeyed.held, *obeyed.waits}
    obeyed.left = [batch_id for batch_id in dict.fromkeys(obeyed.left) if batch_id not in decided]
    return obeyed


def cancel(batch_id: str, run_id: str, *, outbox: Outbox, now: datetime) -> str:
    """Cancel a batch because its run was cancelled, and return what that came to, in one sentence."""
    facts = {"by": "cancelled in Prefect", "run_id": run_id}
    cancelled = outbox.cancel(None, batch_id, now=now, reason=CANCELLED_IN_PREFECT, facts=facts)
    if cancelled is None:
        return "there is no such batch"
    return f"{cancelled.cancelled} messages cancelled, {len(cancelled.gone)} were sent or may have been"
