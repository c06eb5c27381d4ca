"""Provider events about a sent message, in one vocabulary for all providers, and the status that they lead to.

Events come late, twice and in any order, so the status does not depend on their order: each kind of event proposes a
status, and the proposed status with the highest weight stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from mailroom.domain.outbound.message import Status

#: Provider name of events that happen here: a click on our unsubscribe page.
OURS = "mailroom"


class Kind(StrEnum):
    """What happened to a message. Stable words: activities and filters use them."""

    #: The provider has it; resolves an unknown outcome.
    SENT = "sent"
    DELIVERED = "delivered"
    #: Not delivered for now; the provider keeps trying.
    DELAYED = "delayed"
    #: Returned permanently: this address takes no mail.
    BOUNCED_HARD = "bounced_hard"
    #: Returned, but the address may take mail another time.
    BOUNCED_SOFT = "bounced_soft"
    COMPLAINED = "complained"
    #: The provider accepted it and then refused to send it.
    REJECTED = "rejected"
    #: The provider held it back because the address is on a suppression list of its own.
    SUPPRESSED = "suppressed"
    OPENED = "opened"
    CLICKED = "clicked"
    UNSUBSCRIBED = "unsubscribed"
    #: An automatic reply (out of office): no bounce, though it arrives as one. It proves that the mail was sent, no more:
    #: providers file reports that they cannot read under this too.
    AUTORESPONDED = "autoresponded"
    #: An event that this vocabulary has no word for.
    OTHER = "other"


#: Opens and clicks, by readers or by machines.
LOOKS = frozenset({Kind.OPENED, Kind.CLICKED})


class Actor(StrEnum):
    """Who opened or clicked: mail scanners do both."""

    HUMAN = "human"
    MACHINE = "machine"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryEvent:
    """One provider event about one recipient of one message.

    `event_id` is unique for the provider and the same in each repetition of the event. `message_id` is ours, returned in a
    tag or header; `provider_message_id` is the provider's. `facts` are codes, words of the provider and times: no address,
    no IP, no user agent. `recipient` and `tenant` are compared with the message's and not stored; `tenant` is the owner of
    the account at the provider, None for an account of all tenants. `attempt` is the number of the attempt that it is about,
    where its origin says so.
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
    attempt: int | None = None
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


#: The status that each kind of event proposes.
_CLAIMS = {
    Kind.SENT: Status.DISPATCHED,
    Kind.OTHER: Status.DISPATCHED,
    Kind.AUTORESPONDED: Status.DISPATCHED,
    Kind.DELAYED: Status.DEFERRED,
    Kind.SUPPRESSED: Status.SUPPRESSED,
    Kind.REJECTED: Status.REJECTED,
    Kind.DELIVERED: Status.DELIVERED,
    Kind.UNSUBSCRIBED: Status.DELIVERED,
    Kind.OPENED: Status.OPENED,
    Kind.CLICKED: Status.CLICKED,
    Kind.BOUNCED_SOFT: Status.BOUNCED,
    Kind.BOUNCED_HARD: Status.BOUNCED,
    Kind.COMPLAINED: Status.COMPLAINED,
}

#: Weights of the statuses that events propose; the other statuses are our own, and any event outweighs them.
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
    """Return the status after an event of `kind`; an event that adds nothing changes nothing.

    `deferred` means deferred by the provider here: pass `queued` for a message that was not sent yet.
    """
    return _NEXT[status, kind]


def counts_as(event: DeliveryEvent) -> Kind:
    """Return the kind that an event counts as: an open or click by a machine only proves delivery."""
    return Kind.DELIVERED if event.kind in LOOKS and event.actor is Actor.MACHINE else event.kind


#: An event whose message is still unknown after this time is kept and counted, but no longer matched.
PARKED_FOR = timedelta(days=30)


def next_try(tries: int, now: datetime) -> datetime:
    """Return when a parked event is matched again: at first within seconds, for it may have overtaken the send's answer."""
    return now + timedelta(seconds=min(2 ** max(0, min(tries, 12)), 3600))
