"""Who receives at which address."""

from collections.abc import Iterable
from typing import Protocol

from mailroom.domain.inbound.routing import Address


class Directory(Protocol):
    """Who receives at which address."""

    def lookup(self, patterns: Iterable[str]) -> dict[str, list[Address]]:
        """Return the addresses that have these patterns, and for each `@domain` among them those with stars there."""

    def add(self, address: Address) -> bool:
        """Add an address; False when it is there already for this tenant."""

    def set_processor(self, pattern: str, tenant: str, processor: str) -> bool:
        """Have a processor work on what this address receives; False when the tenant has no such address."""

    def all(self) -> list[Address]:
        """Return every address, sorted by tenant and pattern."""
