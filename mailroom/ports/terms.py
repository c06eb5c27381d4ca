"""What providers allow, told by who sends to who takes batches."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mailroom.domain.outbound.quotas import ProviderRate
from mailroom.domain.outbound.rate_slots import RateLimit
from mailroom.ports.provider import MailProvider, ProviderQuota


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTerms:
    """What a provider allows one account; `max_bytes` is one mail on the wire."""

    identity: str
    name: str
    pace: ProviderRate
    max_bytes: int
    told_at: datetime


class Terms(Protocol):
    """What providers allow: who sends tells it, who takes batches asks for it."""

    def publish(self, terms: ProviderTerms) -> None:
        """Keep what a provider allows now."""

    def known(self, *, now: datetime) -> ProviderTerms | None:
        """Return what was told last, if that is of today."""

    def hold(self, rate: RateLimit, *, now: datetime) -> None:
        """Keep the rate that an account is held to now."""


def terms_of(provider: MailProvider, quota: ProviderQuota, *, now: datetime) -> ProviderTerms:
    """Return what there is to tell of a provider that answered with `quota`."""
    return ProviderTerms(
        identity=provider.identity,
        name=provider.name,
        pace=ProviderRate(quota.per_second, quota.per_day, quota.sent_today or 0, quota.paused),
        max_bytes=provider.capabilities.max_bytes,
        told_at=now,
    )
