"""Findings of the archive check: what is wrong in the archive's bucket."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ArchiveFinding:
    """A problem in the archive's bucket: a foreign version or delete marker, or an incomplete deposit.

    `kind` and `do` (what to do) are the check's words; `found_at` is when it was first found.
    """

    kind: str
    key: str
    version: str
    do: str
    found_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class ScannedRange:
    """The keys that one check of the archive covered: those after `after` up to `until` ("" is the end), and `keys`."""

    after: str
    until: str
    keys: tuple[str, ...] = ()


class ArchiveFindings(Protocol):
    """Findings, each kept until the archive is right again or an operator has acknowledged it."""

    def note(self, findings: Sequence[ArchiveFinding], looked: ScannedRange, *, now: datetime) -> None:
        """Store what was found; earlier findings in the range `looked` that were not found again are settled."""

    def open_keys(self) -> list[str]:
        """Return keys with unacknowledged findings, those seen longest ago first."""
