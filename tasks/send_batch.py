"""The steps of sending a batch. Each may be killed at any point and run again."""

from asyncio import CancelledError
from datetime import UTC, datetime

from mailroom.outbound.dispatch_result import DispatchResult
from mailroom.outbound.dispatching import Outbound, Sender
from mailroom.outbound.unknown_outcomes import settle_unknown
from mailroom.ports.dispatch import Planned
from tasks.support.steps import blocking, step


@step("settle")
async def settle(outbound: Outbound) -> tuple[int, int]:
    """Settle unknown outcomes, of any batch; return how many messages became unknown, and how many were settled."""
    return await blocking(settle_unknown, outbound, now=datetime.now(UTC))


@step("plan")
async def plan(batch_id: str, outbound: Outbound) -> Planned:
    """Withhold expired and suppressed messages, and count the rest."""
    return await blocking(outbound.dispatch.plan, batch_id, now=datetime.now(UTC))


@step("dispatch")
async def dispatch(sender: Sender, due: int) -> DispatchResult:
    """Send for some seconds. A retry continues: messages already sent are not due any more."""
    try:
        return await blocking(sender.send_some, due)
    except CancelledError:
        # The thread goes on after the cancel: its sends under way are recorded, and no new message is leased.
        sender.stop()
        raise
