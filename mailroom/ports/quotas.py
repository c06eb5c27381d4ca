"""Sending quotas of tenants, and their use."""

from datetime import datetime
from typing import Protocol

from mailroom.domain.outbound.quotas import Allowance, Period


class Quotas(Protocol):
    """How much each tenant may send, and has sent."""

    def allowance(self, tenant: str) -> Allowance:
        """Return the tenant's limits; no limits where none were set."""

    def allow(self, tenant: str, allowance: Allowance) -> None:
        """Set the tenant's limits."""

    def used(self, tenant: str, *, now: datetime) -> dict[Period, int]:
        """Return the number of messages counted in each current period."""
