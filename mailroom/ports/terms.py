"""Provider terms: rate, quota and size limits, published by senders and read where batches are submitted."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mailroom.domain.outbound.quotas import ProviderRate
from mailroom.domain.outbound.rate_slots import RateLimit
from mailroom.ports.provider import MailProvider, ProviderQuota


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTerms:
    """A provider's limits for one account; `max_bytes` is the size of one mail on the wire."""

    identity: str
    name: str
    pace: ProviderRate
    max_bytes: int
    told_at: datetime


class Terms(Protocol):
    """The limits of providers: published by senders, read where batches are submitted."""

    def publish(self, terms: ProviderTerms) -> None:
        """Store the provider's current limits."""

    def known(self, *, now: datetime) -> ProviderTerms | None:
        """Return the terms published last, if they are of today."""

    def hold(self, rate: RateLimit, *, now: datetime) -> None:
        """Store the rate limit that applies to an account now."""


def terms_of(provider: MailProvider, quota: ProviderQuota, *, now: datetime) -> ProviderTerms:
    """Return the terms to publish for a provider with this quota."""
    return ProviderTerms(
        identity=provider.identity,
        name=provider.name,
        pace=ProviderRate(quota.per_second, quota.per_day, quota.sent_today or 0, quota.paused),
        max_bytes=provider.capabilities.max_bytes,
        told_at=now,
    )
