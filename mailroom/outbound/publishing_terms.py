"""Publishes provider quotas and rate limits to the database.

The HTTP service has no provider to ask: it reads the quota there to estimate when a batch will be sent. Workers read the rate
limit from the orchestrator; the HTTP service shows it.
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
    """Return the provider's `quota`, wrapped to publish each answer to `terms`; an error in publishing is only logged.

    `otherwise` is the rate (mails per second) to publish where the provider reports none.
    """

    def quota() -> ProviderQuota:
        answer = provider.quota()
        try:
            paced = answer if answer.per_second is not None else replace(answer, per_second=otherwise)
            terms.publish(terms_of(provider, paced, now=clock()))
        except MailroomError as error:
            log.warning("the limits of %s cannot be stored: %s", provider.name, error)
        return answer

    return quota


def publishing_ceiling(
    provider: MailProvider, terms: Terms, *, clock: Callable[[], datetime] = _now
) -> Callable[[float], None]:
    """Return a function that publishes the provider's rate limit (mails per second); an error is only logged."""

    def hold(per_second: float) -> None:
        try:
            terms.hold(RateLimit(provider.name, provider.identity, per_second), now=clock())
        except MailroomError as error:
            log.warning("the rate of %s cannot be stored: %s", provider.name, error)

    return hold
