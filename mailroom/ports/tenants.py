"""Settings of tenants: filing policy and webhook."""

from dataclasses import dataclass, field
from typing import Protocol

from mailroom.domain.inbound.filing_policy import FilingPolicy


@dataclass(frozen=True, slots=True)
class Webhook:
    """A tenant's webhook for received mail, and the secret that signs its requests."""

    url: str
    secret: str = field(repr=False)


class Tenants(Protocol):
    """Settings of tenants. Setting one creates a tenant that is not known yet."""

    def policy(self, tenant: str) -> FilingPolicy:
        """Return the tenant's policy for doubtful mail; the default where none was set."""

    def set_policy(self, tenant: str, policy: FilingPolicy) -> None:
        """Set the policy for mails that arrive from now on."""

    def webhook(self, tenant: str) -> Webhook | None:
        """Return the tenant's webhook, or None."""

    def set_webhook(self, tenant: str, webhook: Webhook | None) -> None:
        """Set the tenant's webhook; None removes it."""
