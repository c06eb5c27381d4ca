"""The answer of providers that cannot be asked what became of a mail."""

from datetime import datetime

from mailroom.domain.errors import OutcomeUnknown
from mailroom.ports.provider import ProviderReceipt


class Unasked:
    """The part `ask` of the port `MailProvider`, for a provider that has no such question."""

    name: str

    def ask(self, message_id: str, *, since: datetime) -> ProviderReceipt | None:
        """Raise: it cannot be asked."""
        raise OutcomeUnknown("the provider cannot be asked", provider=self.name)
