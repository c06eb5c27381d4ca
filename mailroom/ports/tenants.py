"""What each customer of this installation has chosen."""

from dataclasses import dataclass, field
from typing import Protocol

from mailroom.domain.inbound.trust import FilingPolicy


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where a tenant wants to be told of its mail, and the secret that proves who tells."""

    url: str
    secret: str = field(repr=False)


class Tenants(Protocol):
    """What each customer of this installation has chosen. A tenant that is not known yet is made when it chooses."""

    def policy(self, tenant: str) -> FilingPolicy:
        """Return what the tenant wants done with doubtful mail; the default for one that never said."""

    def set_policy(self, tenant: str, policy: FilingPolicy) -> None:
        """Have this policy hold for the mails that come from now on."""

    def webhook(self, tenant: str) -> Webhook | None:
        """Return where the tenant wants to be told of its mail, or None."""

    def set_webhook(self, tenant: str, webhook: Webhook | None) -> None:
        """Have the tenant told there from now on; None tells nobody any more."""
