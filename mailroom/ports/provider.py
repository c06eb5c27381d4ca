"""Services that accept mail for delivery."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mailroom.domain.errors import MailroomError
from mailroom.domain.outbound.message import Outgoing


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The features of a provider. A mail that needs a missing one is refused before the call, never sent without it.

    `batch` is the number of mails per call, `max_bytes` the size of one mail on the wire, `headers` whether it takes any
    custom header, `utf8_addresses` whether a local part may be non-ASCII (RFC 6531), `asks` whether it can look up a mail
    by our id later, `tracks` whether it reports opens and clicks, switched on per mail, `return_path` whether the envelope's
    sender is ours to choose, so that bounces can come by mail.
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
    return_path: bool = False


@dataclass(frozen=True, slots=True)
class ProviderReceipt:
    """The provider accepted one mail; `provider_message_id` identifies it in the provider's events."""

    provider: str
    provider_message_id: str


@dataclass(frozen=True, slots=True)
class ProviderQuota:
    """The provider's current limits for this account, None where unknown. `paused`: it sends nothing."""

    per_second: float | None = None
    per_day: int | None = None
    sent_today: int | None = None
    paused: bool = False


class MailProvider(Protocol):
    """A service that accepts mail for delivery.

    One that can be asked which senders it serves also has an adapter of the port `SenderIdentities`.
    """

    #: The name in receipts, events and settings, such as `ses`; listed in `mailroom.domain.outbound.providers`.
    name: str
    #: The account that limits apply to, such as `ses/123456789012/eu-west-1`: one rate for each.
    identity: str
    capabilities: Capabilities

    def send(self, mails: Sequence[Outgoing]) -> list[ProviderReceipt | MailroomError]:
        """Submit each mail to the provider once and return one result per mail, in order. Nothing is raised for one mail.

        Per mail:
            ProviderReceipt: the provider accepted it.
            Throttled: over the provider's rate, not sent; `DailyQuota` where the day's quota is used up.
            Paused: the account or identity is stopped; not sent. `SenderRefused` where only this sender's domain is.
            RecipientUnavailable: not sent; this recipient alone cannot be reached now.
            TransientError: not sent (no connection, refused before the data).
            OutcomeUnknown: the answer was lost; the provider may have the mail.
            Refused: this recipient or content will never be accepted: `RecipientRefused`, `ContentRefused`.
        """

    def quota(self) -> ProviderQuota:
        """Return the current limits; they may be a minute old."""

    def ask(self, message_id: str, *, since: datetime) -> ProviderReceipt | None:
        """Return the receipt of the mail with our id, sent at `since` or later; None: the provider never received it.

        Only where `capabilities.asks`.

        Raises:
            OutcomeUnknown: the provider does not know (yet).
        """

    def close(self) -> None:
        """Close connections."""
