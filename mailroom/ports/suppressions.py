"""Suppression lists: addresses that no mail is sent to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """An address that gets no mail from this tenant, or with `tenant` None from any. `address` is normalised."""

    address: str
    reason: str
    tenant: str | None = None
    since: datetime
    expires_at: datetime | None = None
    message_id: str | None = None


class Suppressions(Protocol):
    """The suppression list of each tenant, and the global one."""

    def among(self, tenant: str, addresses: Sequence[str], *, now: datetime, with_global: bool = False) -> set[str]:
        """Return which of these normalised addresses the tenant's list suppresses; `with_global` adds the global list.

        The global list is for administrators: it may contain another tenant's recipients, and a tenant could read it by
        guessing addresses.
        """

    def add(self, suppressions: Sequence[Suppression]) -> int:
        """Store them and return how many are new; an existing one is kept, with the later expiry."""

    def remove(self, tenant: str | None, address: str) -> bool:
        """Remove the address, so that mail is sent to it again; False if it was not suppressed."""

    def all(
        self,
        tenant: str | None,
        *,
        address: str | None,
        after: tuple[str, str] | None,
        limit: int,
        with_global: bool = False,
    ) -> list[Suppression]:
        """Return suppressions after `after`, sorted by address and tenant; `tenant` None returns all.

        `with_global` adds the global list; it is for administrators, as in `among`. For one address the global one comes
        first: in `after`, its tenant is the empty string.
        """
