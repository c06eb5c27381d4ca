"""What was found wrong in the archive's bucket."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ArchiveFinding:
    """Something wrong in the archive's bucket: a stranger's version or delete marker, or a deposit that is not whole.

    `kind` and `do` are the check's words, `found_at` is when it was first found.
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
    """Which keys a comparison of the archive has seen: those after `after` up to `until` ("" is the end), and `keys`."""

    after: str
    until: str
    keys: tuple[str, ...] = ()


class ArchiveFindings(Protocol):
    """What was found wrong in the archive, until it is right again or an operator has acknowledged it."""

    def note(self, found: Sequence[ArchiveFinding], looked: ScannedRange, *, now: datetime) -> None:
        """Keep what was found; what was found before where this look was, and is not there any more, is settled."""

    def open_keys(self) -> list[str]:
        """Return keys with findings that nobody has acknowledged, those seen longest ago first."""
