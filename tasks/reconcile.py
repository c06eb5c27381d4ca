"""The steps of a reconciliation. Each may be killed at any point and run again."""

from collections.abc import Callable
from datetime import UTC, datetime

from mailroom.audit.mails import Patience
from mailroom.audit.report import Report
from mailroom.ports.events import Events
from mailroom.ports.reconciliations import Reconciliation, Reconciliations
from tasks.support.steps import blocking, step

#: Parked events in one transaction, and transactions in one run; the rest is left to the next hour's run.
_PAGE, _PAGES = 500, 40


@step("match parked events")
async def match_parked(events: Events) -> int:
    """Match parked events to their messages, and return how many matched."""
    return await blocking(_match_all, events)


@step("prove conservation")
async def prove(check: Callable[[Patience], Report], patience: Patience) -> Report:
    """Return the report of where each mail is, and which are lost."""
    return await blocking(check, patience)


@step("compare archive")
async def compare(
    look: Callable[[Patience, str, int], tuple[Report, str]], patience: Patience, after: str, most: int
) -> tuple[Report, str]:
    """Return the differences in a part of the archive, and the key to continue from."""
    return await blocking(look, patience, after, most)


@step("renew holds")
async def renew_holds(renew: Callable[[], int]) -> int:
    """Set the archive's legal holds in S3 again, as they are recorded; return how many are active."""
    return await blocking(renew)


@step("note")
async def note(proof: Reconciliation, reconciliations: Reconciliations) -> None:
    """Store the result for the metrics."""
    await blocking(reconciliations.note, proof)


def _match_all(events: Events) -> int:
    matched = 0
    for _ in range(_PAGES):
        folded = events.rematch(now=datetime.now(UTC), limit=_PAGE)
        matched += folded.matched
        if not folded.matched + folded.parked + folded.repeated:
            break
    return matched
