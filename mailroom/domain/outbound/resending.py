"""Which messages are sent again when a person asks for it, and why others are not.

    rejected, failed, suppressed ──────────┐
    unknown, if it may arrive twice ───────┴─ resend ──> queued, or scheduled until the batch's time: a new attempt

What the provider has accepted is never sent again: a new message is a decision of the caller.
"""

from collections.abc import Mapping

from mailroom.domain.outbound.message import SendingStage, Status
from mailroom.domain.reasons import ReasonWord

#: These can be sent again; `unknown` only where it may arrive twice.
RESENDABLE = frozenset(
    status
    for status in Status
    if status is Status.SUPPRESSED or status.stage in (SendingStage.REFUSED, SendingStage.UNKNOWN)
)

_NEW_BATCH = "submit it in a new batch, if it is still wanted"


class NotResent(ReasonWord):
    """Why a message is not sent again."""

    MAY_DUPLICATE = (
        "may_duplicate",
        "its outcome is unknown, so it may arrive twice",
        "look for it in the provider's log; then allow it with `may_duplicate`, or `mailroom resend --may-duplicate`",
    )
    STILL_SUPPRESSED = (
        "still_suppressed",
        "its address is still suppressed",
        "if the person wants mail again, take the address off the list, or ask the administrator to, who keeps the one for all tenants; then resend",
    )
    BATCH_HELD = (
        "batch_held",
        "its batch is held until a person decides",
        "`mailroom batch resume ID` or `mailroom batch cancel ID` first",
    )
    BATCH_CANCELLED = ("batch_cancelled", "its batch was cancelled", _NEW_BATCH)
    BATCH_EXPIRED = ("batch_expired", "the batch's `expires_at` has passed", _NEW_BATCH)
    CONTENT_GONE = (
        "content_gone",
        "an attachment of it is no longer kept",
        "submit it in a new batch, with the file",
    )
    UNDER_WAY = ("under_way", "it waits or is being sent already", "nothing: see what becomes of it")
    SENT = (
        "sent",
        "the provider has accepted it and has not said yet what became of it",
        "wait for the provider's events",
    )
    ARRIVED = ("arrived", "it was delivered", "submit a new message, if the person needs it once more")
    RETURNED = (
        "returned",
        "it was returned, or its recipient complained about it",
        "correct the address and submit a new message; after a complaint send nothing more",
    )


_OF_STAGE: Mapping[SendingStage, NotResent] = {
    SendingStage.WAITING: NotResent.UNDER_WAY,
    SendingStage.SENDING: NotResent.UNDER_WAY,
    SendingStage.HELD: NotResent.BATCH_HELD,
    SendingStage.SENT: NotResent.SENT,
    SendingStage.ARRIVED: NotResent.ARRIVED,
    SendingStage.RETURNED: NotResent.RETURNED,
}
_OF_STATUS: Mapping[Status, NotResent] = {
    Status.CANCELLED: NotResent.BATCH_CANCELLED,
    Status.EXPIRED: NotResent.BATCH_EXPIRED,
}


def never_resent(status: Status, *, submitted: bool) -> NotResent | None:
    """Return why a message of this status is never sent again; None for one that may be.

    Args:
        submitted: The provider has the message, or may have it; tells the two meanings of `deferred` apart.
    """
    if status is Status.DEFERRED:
        return NotResent.SENT if submitted else NotResent.UNDER_WAY
    return _OF_STATUS.get(status) or _OF_STAGE.get(status.stage)
