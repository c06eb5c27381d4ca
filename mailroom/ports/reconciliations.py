"""Results of reconciliations, which prove that nothing is lost."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """The result of one reconciliation: counts, and the number of differences of each side (`inbound`, `outbound`)."""

    begun_at: datetime
    ended_at: datetime
    differences: Mapping[str, int]
    counts: Mapping[str, int]


class Reconciliations(Protocol):
    """The stored results of reconciliations."""

    def note(self, proof: Reconciliation) -> None:
        """Store a result."""

    def last(self) -> Reconciliation | None:
        """Return the latest result, or None."""
