"""What a provider says of its quota is told on: who takes batches has no provider to ask, and says by it when all will be gone.

So is the rate that it is held to: who reads it of the orchestrator is a worker, who shows it is the HTTP service.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from mailroom.domain.errors import MailroomError
from mailroom.domain.outbound.rate_slots import RateLimit
from mailroom.ports.provider import MailProvider, ProviderQuota
from mailroom.ports.terms import Terms, terms_of

log = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


def publishing_terms(
    provider: MailProvider,
    terms: Terms,
    *,
    otherwise: float | None = None,
    clock: Callable[[], datetime] = _now,
) -> Callable[[], ProviderQuota]:
    """Return the provider's `quota`, which also tells `terms` what it answered; that it cannot be told stops nobody.

    `otherwise` is how many mails a second go where the provider tells no rate.
    """

    def quota() -> ProviderQuota:
        answer = provider.quota()
        try:
            paced = answer if answer.per_second is not None else replace(answer, per_second=otherwise)
            terms.publish(terms_of(provider, paced, now=clock()))
        except MailroomError as error:
            log.warning("what %s allows could not be told: %s", provider.name, error)
        return answer

    return quota


def publishing_ceiling(
    provider: MailProvider, terms: Terms, *, clock: Callable[[], datetime] = _now
) -> Callable[[float], None]:
    """Return what tells `terms` how many mails a second the provider is held to; that it cannot be told stops nobody."""

    def hold(per_second: float) -> None:
        try:
            terms.hold(RateLimit(provider.name, provider.identity, per_second), now=clock())
        except MailroomError as error:
            log.warning("what %s is held to could not be told: %s", provider.name, error)

    return hold
