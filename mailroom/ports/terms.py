"""What a batch is held to when it is handed over: the senders of its tenant, and what the provider allows."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mailroom.domain.outbound.pace import Ceiling
from mailroom.domain.outbound.quotas import Pace
from mailroom.ports.outbox import MailProvider, ProviderQuota


class Senders(Protocol):
    """From which addresses each tenant sends. Patterns are normalised addresses or `@domain`.

    Who has patterns sends from nothing else. Who has none sends from any address that no other tenant has: the provider
    still knows which are the installation's.
    """

    def may(self, tenant: str, address: str) -> bool:
        """Return whether the tenant may send from this normalised address."""

    def patterns(self, tenant: str) -> list[str]:
        """Return what the tenant's addresses are limited to; nothing is no limit."""

    def allow(self, tenant: str, pattern: str) -> None:
        """Let the tenant send from an address, or from all of `@domain`."""

    def forbid(self, tenant: str, pattern: str) -> bool:
        """Take a pattern back; False when it was not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTerms:
    """What a provider allows one account; `max_bytes` is one mail on the wire."""

    identity: str
    name: str
    pace: Pace
    max_bytes: int
    told_at: datetime


class Terms(Protocol):
    """What providers allow: who sends tells it, who takes batches asks for it."""

    def tell(self, terms: ProviderTerms) -> None:
        """Keep what a provider allows now."""

    def known(self, *, now: datetime) -> ProviderTerms | None:
        """Return what was told last, if that is of today."""

    def hold(self, rate: Ceiling, *, now: datetime) -> None:
        """Keep the rate that an account is held to now."""


def terms_of(provider: MailProvider, quota: ProviderQuota, *, now: datetime) -> ProviderTerms:
    """Return what there is to tell of a provider that answered with `quota`."""
    return ProviderTerms(
        identity=provider.identity,
        name=provider.name,
        pace=Pace(quota.per_second, quota.per_day, quota.sent_today or 0, quota.paused),
        max_bytes=provider.capabilities.max_bytes,
        told_at=now,
    )
