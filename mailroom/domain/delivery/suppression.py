"""When an address gets no more mail, and for how long. A tenant's own list; the provider's is another.

A hard bounce, a complaint and an unsubscribe suppress at once and for good. Soft bounces do it when there were
`SOFT_BOUNCES` messages within `SOFT_WITHIN`, for `SOFT_FOR`. An address on a list of the provider's own is left alone for
`LISTED_FOR`, for the provider may take it off.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from mailroom.domain.delivery.events import Kind

SOFT_BOUNCES = 5
SOFT_WITHIN = timedelta(days=30)
SOFT_FOR = timedelta(days=30)
LISTED_FOR = timedelta(days=30)


class Cause(StrEnum):
    """Why an address gets no mail. Stable words: exports and filters use them."""

    HARD_BOUNCE = "hard_bounce"
    COMPLAINT = "complaint"
    UNSUBSCRIBE = "unsubscribe"
    SOFT_BOUNCES = "soft_bounces"
    PROVIDER_LIST = "provider_list"
    MANUAL = "manual"


_CAUSES = {
    Kind.BOUNCED_HARD: Cause.HARD_BOUNCE,
    Kind.COMPLAINED: Cause.COMPLAINT,
    Kind.UNSUBSCRIBED: Cause.UNSUBSCRIBE,
    Kind.SUPPRESSED: Cause.PROVIDER_LIST,
}
_LASTS = {Cause.SOFT_BOUNCES: SOFT_FOR, Cause.PROVIDER_LIST: LISTED_FOR}


def cause_of(kind: Kind) -> Cause | None:
    """Return why one event of this kind alone suppresses its address, or None."""
    return _CAUSES.get(kind)


def end_of(cause: Cause, since: datetime) -> datetime | None:
    """Return when a suppression ends; None is never."""
    lasts = _LASTS.get(cause)
    return since + lasts if lasts else None
