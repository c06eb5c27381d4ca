"""What providers tell of a message after it was handed over, in one vocabulary for all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType


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
    no address, no IP, no user agent. `recipient` is compared with the message's and not kept.
    """

    provider: str
    event_id: str
    kind: Kind
    at: datetime
    provider_message_id: str | None = None
    message_id: str | None = None
    recipient: str | None = None
    actor: Actor = Actor.UNKNOWN
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
