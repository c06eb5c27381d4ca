"""From which addresses each tenant sends."""

from typing import Protocol


class Senders(Protocol):
    """From which addresses each tenant sends. Patterns are normalised addresses or `@domain`.

    Who has patterns sends from nothing else. Who has none sends from any address that no other tenant has: the provider
    still knows which are the installation's.
    """

    def may(self, tenant: str, address: str) -> bool:
        """Return whether the tenant may send from this normalised address."""

    def patterns(self, tenant: str) -> list[str]:
        """Return what the tenant's addresses are limited to; nothing is no limit."""

    def allow(self, tenant: str, pattern: str) -> None:
        """Let the tenant send from an address, or from all of `@domain`."""

    def forbid(self, tenant: str, pattern: str) -> bool:
        """Take a pattern back; False when it was not there."""
