"""The steps of a reconciliation. Each may be killed anywhere and run again."""

from collections.abc import Callable
from datetime import UTC, datetime

from mailroom.audit.mails import Patience
from mailroom.audit.report import Report
from mailroom.ports.events import Events
from mailroom.ports.reconciliations import Reconciliation, Reconciliations
from tasks.support.steps import blocking, step

#: Parked events looked at in one transaction, and how many of those in one run; the rest is for the next hour's.
_PAGE, _PAGES = 500, 40


@step("match parked events")
async def match_parked(events: Events) -> int:
    """Return how many parked events found their message now."""
    return await blocking(_match_all, events)


@step("prove conservation")
async def prove(check: Callable[[Patience], Report], patience: Patience) -> Report:
    """Return what is where, and what is nowhere."""
    return await blocking(check, patience)


@step("compare archive")
async def compare(
    look: Callable[[Patience, str, int], tuple[Report, str]], patience: Patience, after: str, most: int
) -> tuple[Report, str]:
    """Return what is wrong in a part of the archive, and where the next run goes on."""
    return await blocking(look, patience, after, most)


@step("note")
async def note(proof: Reconciliation, reconciliations: Reconciliations) -> None:
    """Keep the result for the metrics."""
    await blocking(reconciliations.note, proof)


def _match_all(events: Events) -> int:
    matched = 0
    for _ in range(_PAGES):
        folded = events.rematch(now=datetime.now(UTC), limit=_PAGE)
        matched += folded.matched
        if not folded.matched + folded.parked + folded.repeated:
            break
    return matched
