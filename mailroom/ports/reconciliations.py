"""Proofs that nothing is lost."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """One proof that nothing is lost: what was counted, and the differences of each side (`inbound`, `outbound`)."""

    begun_at: datetime
    ended_at: datetime
    differences: Mapping[str, int]
    counts: Mapping[str, int]


class Reconciliations(Protocol):
    """The proofs that were made."""

    def note(self, proof: Reconciliation) -> None:
        """Keep it."""

    def last(self) -> Reconciliation | None:
        """Return the latest, or None."""
