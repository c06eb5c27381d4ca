"""Services that accept mail for delivery."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mailroom.domain.errors import MailroomError
from mailroom.domain.outbound.message import Outgoing


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a provider can do. What it cannot is refused before the call, never dropped in silence.

    `batch` is how many mails one call takes, `max_bytes` the size of one mail on the wire, `asks` whether it can be asked
    later what became of a mail with our id, `headers` whether it takes any custom header, `utf8_addresses` whether a local
    part may be other than ASCII (RFC 6531), `tracks` whether it tells of opens and clicks, mail by mail as it is asked to.
    """

    batch: int = 1
    max_bytes: int = 40 << 20
    attachments: bool = True
    inline: bool = True
    headers: bool = True
    unsubscribe: bool = True
    utf8_addresses: bool = False
    asks: bool = False
    tracks: bool = False


@dataclass(frozen=True, slots=True)
class ProviderReceipt:
    """The provider took one mail; `provider_message_id` is what its events call it."""

    provider: str
    provider_message_id: str


@dataclass(frozen=True, slots=True)
class ProviderQuota:
    """What a provider allows this account now; None where it does not say. `paused` is true where it sends nothing."""

    per_second: float | None = None
    per_day: int | None = None
    sent_today: int | None = None
    paused: bool = False


class MailProvider(Protocol):
    """A service that accepts mail for delivery."""

    #: The word in receipts, events and settings, such as `ses`: its row in `mailroom.domain.outbound.providers`.
    name: str
    #: What its limits belong to, such as `ses/123456789012/eu-west-1`: one rate for each.
    identity: str
    capabilities: Capabilities

    def send(self, mails: Sequence[Outgoing]) -> list[ProviderReceipt | MailroomError]:
        """Hand each mail over once and return what was said of each, in their order. Nothing is raised for one mail.

        Per mail:
            Receipt: it is theirs.
            Throttled: over the provider's rate, not handed over; `DailyQuota` where the day's is used up.
            Paused: the account or identity is stopped; not handed over.
            TransientError: not handed over (no connection, refused before the data).
            OutcomeUnknown: the answer was lost; the provider may have the mail.
            Refused: this recipient or content will never be accepted.
        """

    def quota(self) -> ProviderQuota:
        """Return what is allowed now; the answer may be a minute old."""

    def ask(self, message_id: str, *, since: datetime) -> ProviderReceipt | None:
        """Return the receipt of the mail with our id that was handed over at `since` or later; None: they never got it.

        Only where `capabilities.asks`.

        Raises:
            OutcomeUnknown: they cannot tell (yet).
        """

    def close(self) -> None:
        """Let go of connections."""
