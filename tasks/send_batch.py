"""The steps of a batch on its way out. Each may be killed anywhere and run again."""

from asyncio import CancelledError
from datetime import UTC, datetime

from mailroom.outbound.dispatching import DispatchResult, Outbound, Sender
from mailroom.outbound.unknown_outcomes import settle_unknown
from mailroom.ports.dispatch import Planned
from tasks.support.steps import blocking, step


@step("settle")
async def settle(outbound: Outbound) -> tuple[int, int]:
    """Find out about messages, of any batch, whose outcome is unknown; return how many became so, and how many were settled."""
    return await blocking(settle_unknown, outbound, now=datetime.now(UTC))


@step("plan")
async def plan(batch_id: str, outbound: Outbound) -> Planned:
    """Withhold what is expired or suppressed, and count what is left."""
    return await blocking(outbound.dispatch.plan, batch_id, now=datetime.now(UTC))


@step("dispatch")
async def dispatch(sender: Sender, due: int) -> DispatchResult:
    """Hand over for some seconds. Tried again, it goes on: what was handed over is not due any more."""
    try:
        return await blocking(sender.send_some, due)
    except CancelledError:
        # The thread goes on without us: what it has in hand is settled, and nothing more is taken.
        sender.stop()
        raise
