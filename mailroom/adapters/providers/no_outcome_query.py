"""The part `ask` of providers that have no query for the outcome of a mail."""

from datetime import datetime

from mailroom.domain.errors import OutcomeUnknown
from mailroom.ports.provider import ProviderReceipt


class NoOutcomeQuery:
    """The part `ask` of the port `MailProvider`, for a provider without such a query."""

    name: str

    def ask(self, message_id: str, *, since: datetime) -> ProviderReceipt | None:
        """Raise `OutcomeUnknown`: there is no query."""
        raise OutcomeUnknown("the outcome cannot be checked with the provider", provider=self.name)
