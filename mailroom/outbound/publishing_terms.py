"""What a provider says of its quota is told on: who takes batches has no provider to ask, and says by it when all will be gone."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from mailroom.domain.errors import MailroomError
from mailroom.sending import MailProvider, ProviderQuota
from mailroom.terms import Terms, terms_of

log = logging.getLogger(__name__)


def publishing_terms(
    provider: MailProvider,
    terms: Terms,
    *,
    otherwise: float | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Callable[[], ProviderQuota]:
    """Return the provider's `quota`, which also tells `terms` what it answered; that it cannot be told stops nobody.

    `otherwise` is how many mails a second go where the provider tells no rate.
    """

    def quota() -> ProviderQuota:
        answer = provider.quota()
        try:
            paced = answer if answer.per_second is not None else replace(answer, per_second=otherwise)
            terms.tell(terms_of(provider, paced, now=clock()))
        except MailroomError as error:
            log.warning("what %s allows could not be told: %s", provider.name, error)
        return answer

    return quota
