"""The addresses that get no mail."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """An address that gets no mail from this tenant; `tenant` None is from nobody here. `address` is normalised."""

    address: str
    reason: str
    tenant: str | None = None
    since: datetime
    expires_at: datetime | None = None
    message_id: str | None = None


class Suppressions(Protocol):
    """The addresses that get no mail."""

    def among(self, tenant: str, addresses: Sequence[str], *, now: datetime, with_global: bool = False) -> set[str]:
        """Return which of these normalised addresses are suppressed for this tenant: by its own list, or the global one too.

        The global list is for administrators: another tenant's recipients may be on it, and questions about
        guessed addresses would read it.
        """

    def add(self, suppressions: Sequence[Suppression]) -> int:
        """Keep them and return how many are new; one that is there already stays, with the later end."""

    def remove(self, tenant: str | None, address: str) -> bool:
        """Let mail go to the address again; False when it was not there."""

    def all(
        self,
        tenant: str | None,
        *,
        address: str | None,
        after: tuple[str, str] | None,
        limit: int,
        with_global: bool = False,
    ) -> list[Suppression]:
        """Return suppressions by address and tenant from behind `after` on: a tenant's own, or with the global ones.

        Without a tenant, all there are. The global list is for administrators, as in `among`.

        In that order the global one of an address is first, its tenant an empty text.
        """
