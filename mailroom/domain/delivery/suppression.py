"""Suppression: when an address gets no more mail, and for how long. The list is the tenant's, not the provider's.

A hard bounce, a complaint and an unsubscribe suppress at once and permanently. Soft bounces of `SOFT_BOUNCES` messages
within `SOFT_WITHIN` suppress for `SOFT_FOR`; a message that was given up after days of tries counts as one. An address on
the provider's own list is suppressed for `LISTED_FOR`, for the provider may remove it.
"""

from datetime import datetime, timedelta

from mailroom.domain.delivery.events import Kind
from mailroom.domain.reasons import ReasonWord

SOFT_BOUNCES = 5
SOFT_WITHIN = timedelta(days=30)
SOFT_FOR = timedelta(days=30)
LISTED_FOR = timedelta(days=30)


_IF_WRONG = "leave it; if the address takes mail again, take it off with `DELETE /v1/suppressions`"


class Cause(ReasonWord):
    """Why an address is suppressed. A tenant may suppress an address with another word."""

    HARD_BOUNCE = ("hard_bounce", "a message to it was returned for good", _IF_WRONG)
    COMPLAINT = ("complaint", "its owner reported a message as spam", "leave it, unless the person asks for mail again")
    UNSUBSCRIBE = ("unsubscribe", "its owner unsubscribed", "leave it, unless the person asks for mail again")
    SOFT_BOUNCES = (
        "soft_bounces",
        f"{SOFT_BOUNCES} messages to it were returned, or tried in vain for days, within {SOFT_WITHIN.days} days",
        f"nothing: it ends by itself after {SOFT_FOR.days} days",
    )
    PROVIDER_LIST = (
        "provider_list",
        "the provider holds it back by a list of its own",
        f"take it off the provider's list; here it ends by itself after {LISTED_FOR.days} days",
    )
    MANUAL = ("manual", "a person or program put it on the list", _IF_WRONG)


_CAUSES = {
    Kind.BOUNCED_HARD: Cause.HARD_BOUNCE,
    Kind.COMPLAINED: Cause.COMPLAINT,
    Kind.UNSUBSCRIBED: Cause.UNSUBSCRIBE,
    Kind.SUPPRESSED: Cause.PROVIDER_LIST,
}
_LASTS = {Cause.SOFT_BOUNCES: SOFT_FOR, Cause.PROVIDER_LIST: LISTED_FOR}


def cause_of(kind: Kind) -> Cause | None:
    """Return the cause by which a single event of this kind suppresses its address, or None."""
    return _CAUSES.get(kind)


def end_of(cause: Cause, since: datetime) -> datetime | None:
    """Return when a suppression ends; None means never."""
    lasts = _LASTS.get(cause)
    return since + lasts if lasts else None
