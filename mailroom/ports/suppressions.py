"""Suppression lists: addresses that no mail is sent to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mailroom.domain.delivery.streams import Scope, scope_key, scope_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """An address that gets no mail from this tenant, or with `tenant` None from any. `address` is normalised.

    With `stream` it gets no mail of that stream; what it covers otherwise follows from the reason.
    """

    address: str
    reason: str
    tenant: str | None = None
    since: datetime
    expires_at: datetime | None = None
    message_id: str | None = None
    stream: str | None = None

    @property
    def scope(self) -> Scope:
        """The mail that it covers."""
        return scope_of(self.reason, self.stream)

    @property
    def place(self) -> tuple[str, str, str]:
        """Its place in a list: address, tenant and scope, with the stream's name for a stream's."""
        return self.address, self.tenant or "", scope_key(self.scope, self.stream)


class Suppressions(Protocol):
    """The suppression list of each tenant, and the global one."""

    def among(
        self,
        tenant: str,
        addresses: Sequence[str],
        *,
        now: datetime,
        with_global: bool = False,
        stream: str | None = None,
    ) -> set[str]:
        """Return which of these normalised addresses the tenant's list suppresses; `with_global` adds the global list.

        With `stream` only entries count that cover its mail.

        The global list is for administrators: it may contain another tenant's recipients, and a tenant could read it by
        guessing addresses.
        """

    def add(self, suppressions: Sequence[Suppression]) -> int:
        """Store them and return how many are new; an existing one is kept, with the later expiry."""

    def remove(
        self, tenant: str | None, address: str, *, scope: Scope | None = None, stream: str | None = None
    ) -> bool:
        """Remove the address, so that mail is sent to it again; False if it was not suppressed.

        All of its entries, or those of one scope, or of one stream.
        """

    def all(
        self,
        tenant: str | None,
        *,
        address: str | None,
        after: tuple[str, ...] | None,
        limit: int,
        with_global: bool = False,
        scope: Scope | None = None,
        stream: str | None = None,
    ) -> list[Suppression]:
        """Return suppressions after `after`, sorted by address, tenant and scope; `tenant` None returns all.

        `after` is the `place` of the last one before; without its scope, all of that address are behind.

        `with_global` adds the global list; it is for administrators, as in `among`. For one address the global one comes
        first: in `after`, its tenant is the empty string.
        """
