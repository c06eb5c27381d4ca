"""The sender addresses that each tenant may use."""

from typing import Protocol


class Senders(Protocol):
    """The sender addresses of each tenant. Patterns are normalised addresses or `@domain`.

    A tenant with patterns sends only from these. One without sends from any address that no other tenant has; the provider
    still accepts only the installation's own.
    """

    def may(self, tenant: str, address: str) -> bool:
        """Return whether the tenant may send from this normalised address."""

    def patterns(self, tenant: str) -> list[str]:
        """Return the patterns that limit the tenant's sender addresses; an empty list is no limit."""

    def allow(self, tenant: str, pattern: str) -> None:
        """Allow the tenant to send from an address, or from all of `@domain`."""

    def forbid(self, tenant: str, pattern: str) -> bool:
        """Remove a pattern; False if the tenant does not have it."""
