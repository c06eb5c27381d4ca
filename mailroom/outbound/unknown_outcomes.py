"""Resolution of messages whose outcome is unknown.

Most are settled by a provider event that carries our id. This module handles the others: it looks them up at providers that
support it, and sends those again that the provider never received. Without an answer, the batch's policy decides:
`prefer_no_duplicate` leaves the message `unknown` for an operator, `prefer_delivery` sends it again after a window, and it may
arrive twice.
"""

import logging
from datetime import datetime, timedelta
from functools import partial

from mailroom.domain.errors import OutcomeUnknown, TransientError
from mailroom.domain.outbound.message import ResendPolicy
from mailroom.outbound.dispatching import Outbound
from mailroom.ports.dispatch import Outcome, UnknownMessage

log = logging.getLogger(__name__)

#: After this time a message that is still `sending` becomes `unknown`: longer than any call to a provider takes. A receipt
#: that comes later still settles it.
GONE_AFTER = timedelta(minutes=2)
#: From which age to which a message is looked up at its provider.
ASK_AFTER, ASK_UNTIL = timedelta(minutes=2), timedelta(days=3)
#: How long `prefer_delivery` waits for an event before it sends again.
SEND_AGAIN_AFTER = timedelta(hours=1)
_MOST = 500


def settle_unknown(outbound: Outbound, *, now: datetime) -> tuple[int, int]:
    """Resolve unknown outcomes; return how many messages became unknown (their worker is gone), and how many were settled or requeued."""
    stranded = outbound.dispatch.strand(before=now - GONE_AFTER, now=now)
    settled = 0
    if outbound.provider.capabilities.asks:
        settled += _ask(outbound, now)
    late = outbound.dispatch.unknown(before=now - SEND_AGAIN_AFTER, limit=_MOST, policy=ResendPolicy.PREFER_DELIVERY)
    settled += outbound.dispatch.resend([one.message_id for one in late], now=now) if late else 0
    if stranded or settled:
        log.info("outcomes: %d became unknown, %d were settled or go again", stranded, settled)
    return stranded, settled


def _ask(outbound: Outbound, now: datetime) -> int:
    settled, never_got = 0, list[str]()
    wanted = partial(outbound.dispatch.unknown, before=now - ASK_AFTER, after=now - ASK_UNTIL)
    for one in wanted(providers=outbound.names, limit=_MOST):
        try:
            settled += _ask_for(one, outbound, never_got, now)
        except OutcomeUnknown:
            continue
        except TransientError as error:
            log.warning("unknown outcomes cannot be checked with the provider now: %s", error)
            break
        except Exception as error:  # noqa: BLE001 - one message must not keep all others unknown
            outbound.dispatch.step_over(one.message_id, error)
    return settled + (outbound.dispatch.resend(never_got, now=now) if never_got else 0)


def _ask_for(one: UnknownMessage, outbound: Outbound, never_got: list[str], now: datetime) -> int:
    receipt = outbound.provider.ask(one.message_id, since=one.handed_at)
    if receipt is None:
        never_got.append(one.message_id)
        return 0
    outbound.dispatch.settle([Outcome(one.message_id, one.attempt, receipt)], now=now)
    return 1
