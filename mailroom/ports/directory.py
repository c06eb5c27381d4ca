"""The directory of receiving addresses."""

from collections.abc import Iterable
from typing import Protocol

from mailroom.domain.inbound.routing import Address


class Directory(Protocol):
    """The receiving addresses of all tenants."""

    def lookup(self, patterns: Iterable[str]) -> dict[str, list[Address]]:
        """Return the addresses with these patterns, and for each `@domain` among them those with stars in that domain."""

    def add(self, address: Address) -> bool:
        """Add an address; False if this tenant has it already."""

    def set_processor(self, pattern: str, tenant: str, processor: str) -> bool:
        """Run this processor on mail to the address; False if the tenant has no such address."""

    def all(self) -> list[Address]:
        """Return every address, sorted by tenant and pattern."""
