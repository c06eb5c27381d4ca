"""What each tenant may send, and has sent."""

from datetime import datetime
from typing import Protocol

from mailroom.domain.outbound.quotas import Allowance, Period


class Quotas(Protocol):
    """What each tenant may send, and has sent."""

    def allowance(self, tenant: str) -> Allowance:
        """Return the tenant's limits; none where nothing was set."""

    def allow(self, tenant: str, allowance: Allowance) -> None:
        """Set the tenant's limits."""

    def used(self, tenant: str, *, now: datetime) -> dict[Period, int]:
        """Return what was counted in each of the current periods."""
