"""What providers tell of a message after it was handed over, in one vocabulary for all of them, and what it comes to.

Events come late, twice and in any order. So a status never depends on which came first: each kind of event claims a
status, and of all that was claimed the one that weighs most stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from mailroom.domain.outbound.message import Status

#: Who tells what happened at our own place: a click on our unsubscribe page.
OURS = "mailroom"


class Kind(StrEnum):
    """What happened to a message. Stable words: activities and filters use them."""

    #: The provider has it; this settles an unknown outcome.
    SENT = "sent"
    DELIVERED = "delivered"
    #: Not delivered for now; the provider keeps trying.
    DELAYED = "delayed"
    #: Returned for good: this address takes no mail.
    BOUNCED_HARD = "bounced_hard"
    #: Returned, and the address may take mail another time.
    BOUNCED_SOFT = "bounced_soft"
    COMPLAINED = "complained"
    #: The provider took it and then would not send it.
    REJECTED = "rejected"
    #: The provider held it back because the address is on a suppression list of its own.
    SUPPRESSED = "suppressed"
    OPENED = "opened"
    CLICKED = "clicked"
    UNSUBSCRIBED = "unsubscribed"
    #: An answer of a machine (out of office): no bounce, though it comes as one.
    AUTORESPONDED = "autoresponded"
    #: The provider told something that this vocabulary has no word for.
    OTHER = "other"


#: What readers do, and machines in their name.
LOOKS = frozenset({Kind.OPENED, Kind.CLICKED})


class Actor(StrEnum):
    """Who opened or clicked: scanners of mail do both."""

    HUMAN = "human"
    MACHINE = "machine"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryEvent:
    """One thing that one provider told of one recipient of one message.

    `event_id` is unique for the provider and the same each time it tells this again. `message_id` is ours, where it came
    back in a tag or header; `provider_message_id` the provider's. `facts` are codes, words of the provider and times:
    no address, no IP, no user agent. `recipient` is compared with the message's and not kept, and so is `tenant`, whose
    account at the provider it was; None is an account for all of them.
    """

    provider: str
    event_id: str
    kind: Kind
    at: datetime
    provider_message_id: str | None = None
    message_id: str | None = None
    recipient: str | None = None
    tenant: str | None = None
    actor: Actor = Actor.UNKNOWN
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


#: What an event says that the message has come to, if nothing weighs more.
_CLAIMS = {
    Kind.SENT: Status.DISPATCHED,
    Kind.OTHER: Status.DISPATCHED,
    Kind.DELAYED: Status.DEFERRED,
    Kind.SUPPRESSED: Status.SUPPRESSED,
    Kind.REJECTED: Status.REJECTED,
    Kind.DELIVERED: Status.DELIVERED,
    Kind.AUTORESPONDED: Status.DELIVERED,
    Kind.UNSUBSCRIBED: Status.DELIVERED,
    Kind.OPENED: Status.OPENED,
    Kind.CLICKED: Status.CLICKED,
    Kind.BOUNCED_SOFT: Status.BOUNCED,
    Kind.BOUNCED_HARD: Status.BOUNCED,
    Kind.COMPLAINED: Status.COMPLAINED,
}

#: What weighs more than what; everything that is not among them is our own word, and any event outweighs it.
_WEIGHTS = {
    Status.DISPATCHED: 1,
    Status.DEFERRED: 2,
    Status.SUPPRESSED: 3,
    Status.REJECTED: 4,
    Status.DELIVERED: 5,
    Status.OPENED: 6,
    Status.CLICKED: 7,
    Status.BOUNCED: 8,
    Status.COMPLAINED: 9,
}

_NEXT = {
    (status, kind): claimed if _WEIGHTS[claimed] > _WEIGHTS.get(status, 0) else status
    for status in Status
    for kind, claimed in _CLAIMS.items()
}


def advance(status: Status, kind: Kind) -> Status:
    """Return what a message of `status` has come to after an event; one that adds nothing changes nothing.

    `deferred` is the provider's here: one that was not handed over is to be given as `queued`.
    """
    return _NEXT[status, kind]


def counts_as(event: DeliveryEvent) -> Kind:
    """Return the kind that an event counts as: a machine that opens or clicks proves delivery and no more."""
    return Kind.DELIVERED if event.kind in LOOKS and event.actor is Actor.MACHINE else event.kind


#: An event whose message is not known after so long is kept and counted, and tried no more.
PARKED_FOR = timedelta(days=30)


def next_try(tries: int, now: datetime) -> datetime:
    """Return when a parked event is tried again: the first times within seconds, for it overtook the send's own answer."""
    return now + timedelta(seconds=min(2 ** max(0, min(tries, 12)), 3600))
