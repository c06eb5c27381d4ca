"""When a paused provider account, or a sender's domain at it, is tried again by one message.

    the account or the domain is refused     after 15 minutes, then each hour
    the day's quota is used up               after the provider's own time, 5 minutes at least, else each hour
    a probe without an answer                after 5 minutes

A probe that the provider answers for its mail, one way or the other, ends the pause.
"""

from datetime import timedelta

from mailroom.domain.errors import (
    ContentRefused,
    DailyQuota,
    MailroomError,
    Paused,
    RecipientRefused,
    RecipientUnavailable,
    SenderRefused,
)
from mailroom.domain.outbound.reasons import OutboundReason, outbound_reason

FIRST_PROBE, NEXT_PROBE = timedelta(minutes=15), timedelta(hours=1)
AFTER_NO_ANSWER = timedelta(minutes=5)
#: How long one probe may take; after that another worker makes one.
PROBE_LASTS = timedelta(minutes=5)
#: When batches come back that found a probe under way.
AFTER_PROBE = timedelta(minutes=1)
#: The longest wait that a provider may ask for.
LONGEST_PAUSE = timedelta(days=1)

#: Reasons of messages that wait for the end of a pause, in the order of the table above.
PAUSING = (
    OutboundReason.PAUSED,
    OutboundReason.ACCOUNT_PAUSED,
    OutboundReason.SENDER_REFUSED,
    OutboundReason.DAILY_QUOTA,
    OutboundReason.DAILY_QUOTA_REACHED,
)


def pausing(error: object) -> OutboundReason | None:
    """Return the reason for which this result of an attempt pauses the account or the sender; None: it pauses nothing."""
    return outbound_reason(error) if isinstance(error, Paused | DailyQuota) else None


def paused_sender(error: object) -> str | None:
    """Return the domain that a sender's fault pauses; None for a fault of the whole account."""
    if isinstance(error, SenderRefused):
        return str(error.facts.get("sender_domain") or "").lower() or None
    return None


def waits(error: MailroomError) -> tuple[timedelta, timedelta]:
    """Return how long to wait before the first probe, and before each later one."""
    if not isinstance(error, DailyQuota):
        return FIRST_PROBE, NEXT_PROBE
    asked = timedelta(seconds=float(error.facts.get("retry_after_s") or 0))
    wait = max(min(asked, LONGEST_PAUSE), AFTER_NO_ANSWER) if asked else NEXT_PROBE
    return wait, wait


def answers_for_its_mail(result: object) -> bool:
    """Return whether the provider answered for the mail itself, so neither account nor sender is refused."""
    if not isinstance(result, MailroomError):
        return True
    return isinstance(result, RecipientUnavailable | RecipientRefused | ContentRefused)
