"""The receiving addresses as people keep them: listed, added in bulk, changed and removed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mailroom.domain.inbound.routing import Address
from mailroom.ports.directory import Directory


@dataclass(frozen=True, slots=True)
class KnownAddress:
    """An address of the directory, as listed; its place is its pattern and tenant."""

    pattern: str
    tenant: str
    user: str
    processor: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class MailOfAddress:
    """The mail that an address has or may still get: items filed, and e-mails that are routed when they are processed.

    `under_way` are received and not filed yet, `quarantined` wait for a person. `counted_all` is false where
    there are more of these than were counted.
    """

    items: int = 0
    under_way: int = 0
    quarantined: int = 0
    counted_all: bool = True


class Addresses(Directory, Protocol):
    """The directory, for people. A tenant of None is an administrator, who sees the addresses of all tenants."""

    def page(
        self, tenant: str | None, *, pattern: str | None, after: tuple[str, str] | None, limit: int
    ) -> list[KnownAddress]:
        """Return addresses by pattern and tenant, after that place; with `pattern` (normalised) only those written so."""

    def find(self, tenant: str, patterns: Sequence[str]) -> dict[str, KnownAddress]:
        """Return those of these addresses that the tenant has, by pattern."""

    def add_all(self, addresses: Sequence[Address]) -> set[tuple[str, str]]:
        """Add addresses, all or none, and return pattern and tenant of those that are new; existing ones stay as they are."""

    def change(self, tenant: str, pattern: str, *, user: str | None, processor: str | None) -> KnownAddress | None:
        """Set user and processor, each unless None, for mail that is routed from now on; None: no such address."""

    def remove(self, tenant: str, patterns: Sequence[str]) -> list[str]:
        """Remove addresses, all that are there, and return their patterns."""

    def mail_of(self, tenant: str, patterns: Sequence[str]) -> dict[str, MailOfAddress]:
        """Return the mail of these addresses by pattern."""
