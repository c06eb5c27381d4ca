"""The steps of the sweep of outbound mail."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from mailroom.inbound.sweeping import MOST
from mailroom.outbound.run_outcomes import AppliedOutcomes, OrderRun, OrderRuns, RunOutcome, apply_outcomes
from mailroom.ports.outbox import Outbox
from tasks.support.steps import blocking, step


@step("find overdue")
async def find_overdue(before: datetime, runs: OrderRuns) -> list[OrderRun]:
    """Return the overdue batches without an active run, each with its run."""
    return await blocking(runs.overdue, before=before, limit=MOST)


@step("obey")
async def apply_run_outcomes(
    carried: Sequence[OrderRun], fates: Mapping[str, RunOutcome], outbox: Outbox
) -> AppliedOutcomes:
    """Cancel the batches whose run a person cancelled, and hold those whose run was deleted."""
    return await blocking(apply_outcomes, carried, fates, outbox=outbox, now=datetime.now(UTC))


@step("remind")
async def remind(before: datetime, batch_ids: Sequence[str], outbox: Outbox) -> list[str]:
    """Order these overdue batches again and return their ids; one still under way gets two runs, and each mail is sent once."""
    return await blocking(outbox.remind, before=before, limit=MOST, now=datetime.now(UTC), only=batch_ids)
