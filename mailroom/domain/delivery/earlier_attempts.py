"""What an event says of a message that was sent again meanwhile.

Each attempt has an id of its own at the provider, and events of the first may come when the second is under way. That the
mail has reached its recipient is true of the message, by whichever attempt. That an attempt came to nothing is true of that
attempt alone: it stays in the history, and the newest attempt decides the status.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailroom.domain.delivery.events import OURS, DeliveryEvent, Kind, counts_as
from mailroom.domain.outbound.message import Status

#: The recipient has the mail.
REACHED = frozenset({Kind.DELIVERED, Kind.OPENED, Kind.CLICKED, Kind.UNSUBSCRIBED, Kind.COMPLAINED})
#: How far a provider's clock and ours may be apart.
_CLOCKS = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierAttempt:
    """An attempt before the newest: its number, its provider and the id there, and the status in which it was given up."""

    attempt: int
    provider: str | None
    provider_message_id: str | None
    status: str
    resent_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewestAttempt:
    """The attempt that decides the status; not `begun` while it waits, or if nothing of it is sent."""

    begun: bool
    provider: str | None
    provider_message_id: str | None


def is_earlier(event: DeliveryEvent, newest: NewestAttempt, earlier: Sequence[EarlierAttempt]) -> bool:
    """Return whether an event is about one of the `earlier` attempts and not about the newest."""
    if event.attempt is not None:
        return any(_is_of(event, one) for one in earlier)
    if not earlier or event.provider == OURS:
        return False
    known = event.provider_message_id
    if not newest.begun or any(_is_of(event, one) for one in earlier):
        return True
    if known and newest.provider_message_id and event.provider == newest.provider:
        return known != newest.provider_message_id
    there = [one for one in earlier if one.provider in (None, event.provider)]
    if not there or (known and all(one.provider_message_id for one in there)):
        # An id that none of them has, at a provider that may be the second of two.
        return False
    if not known and event.provider != newest.provider:
        return True
    # By the time alone, as far as clocks agree: the newest had not begun.
    return event.at < max(one.resent_at for one in there) - _CLOCKS


def counts(event: DeliveryEvent, newest: NewestAttempt, earlier: Sequence[EarlierAttempt]) -> bool:
    """Return whether an event changes the message's status, by the table of `mailroom.domain.delivery.events`.

    An earlier attempt whose outcome was unknown counts while the newest has not begun: the provider has the mail after all,
    and a second one would be a duplicate.
    """
    if not is_earlier(event, newest, earlier) or counts_as(event) in REACHED:
        return True
    of_it = [one for one in earlier if _is_of(event, one)] or [one for one in earlier if not one.provider_message_id]
    return not newest.begun and any(one.status == Status.UNKNOWN for one in of_it)


def _is_of(event: DeliveryEvent, attempt: EarlierAttempt) -> bool:
    if event.attempt is not None:
        return event.attempt == attempt.attempt
    known = event.provider, event.provider_message_id
    return bool(known[1]) and known == (attempt.provider, attempt.provider_message_id)
