"""The port `Addresses` in memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from mailroom.domain.inbound.routing import Address, is_starred
from mailroom.ports.addresses import KnownAddress, MailOfAddress

_CREATED_AT = datetime(2026, 3, 14, 9, 30, tzinfo=UTC)


@dataclass(slots=True)
class MemoryAddresses:
    """The port `Addresses` over a dict by pattern and tenant; `mail` is what `mail_of` returns."""

    known: dict[tuple[str, str], Address] = field(default_factory=dict)
    mail: dict[str, MailOfAddress] = field(default_factory=dict)

    def lookup(self, patterns: Iterable[str]) -> dict[str, list[Address]]:
        """Return the addresses with these patterns, and those with stars at the domains (`@domain`) among them."""
        wanted = set(patterns)
        found: dict[str, list[Address]] = {}
        for (pattern, _), address in sorted(self.known.items(), key=lambda one: one[0][::-1]):
            domain = f"@{pattern.rpartition('@')[2]}"
            if pattern in wanted or (is_starred(pattern) and domain in wanted):
                found.setdefault(pattern, []).append(address)
        return found

    def add(self, address: Address) -> bool:
        """Add an address; False if this tenant has it already."""
        return bool(self.add_all([address]))

    def set_processor(self, pattern: str, tenant: str, processor: str) -> bool:
        """Run this processor on mail to the address; False if the tenant has no such address."""
        return self.change(tenant, pattern, user=None, processor=processor) is not None

    def all(self) -> list[Address]:
        """Return every address, sorted by tenant and pattern."""
        return sorted(self.known.values(), key=lambda one: (one.tenant, one.pattern))

    def page(
        self, tenant: str | None, *, pattern: str | None, after: tuple[str, str] | None, limit: int
    ) -> list[KnownAddress]:
        """Return addresses by pattern and tenant, after that place."""
        places = [one for one in sorted(self.known) if tenant in (None, one[1]) and pattern in (None, one[0])]
        return [_listed(self.known[one]) for one in places if after is None or one > after][:limit]

    def find(self, tenant: str, patterns: Sequence[str]) -> dict[str, KnownAddress]:
        """Return those of these addresses that the tenant has, by pattern."""
        return {one: _listed(self.known[one, tenant]) for one in patterns if (one, tenant) in self.known}

    def add_all(self, addresses: Sequence[Address]) -> set[tuple[str, str]]:
        """Add addresses, and return pattern and tenant of those that are new."""
        new = {(one.pattern, one.tenant): one for one in addresses if (one.pattern, one.tenant) not in self.known}
        self.known |= new
        return set(new)

    def change(self, tenant: str, pattern: str, *, user: str | None, processor: str | None) -> KnownAddress | None:
        """Set user and processor, each unless None; None: no such address."""
        there = self.known.get((pattern, tenant))
        if there is None:
            return None
        changed = replace(there, user=user or there.user, processor=processor or there.processor)
        self.known[pattern, tenant] = changed
        return _listed(changed)

    def remove(self, tenant: str, patterns: Sequence[str]) -> list[str]:
        """Remove addresses, and return the patterns of those that were there."""
        return sorted(one for one in set(patterns) if self.known.pop((one, tenant), None))

    def mail_of(self, tenant: str, patterns: Sequence[str]) -> dict[str, MailOfAddress]:
        """Return the mail of these addresses by pattern."""
        return {one: self.mail.get(one, MailOfAddress()) for one in patterns}


def _listed(one: Address) -> KnownAddress:
    return KnownAddress(one.pattern, one.tenant, one.user, one.processor, _CREATED_AT)
