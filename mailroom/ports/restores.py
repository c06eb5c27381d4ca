"""Recognising that the database was restored: what waits in it may have been sent after the dump.

Two signs, either is enough. The identity of the database (server, timeline, database, table) differs from the one that is
written in it; or its counter is behind one that was seen: kept outside every database, and in each process's memory. The
counter advances before anything is claimed and again every few seconds while messages are: first in the database, then
outside, never backwards. ADR 10 says what was measured and which window remains.
"""

from dataclasses import dataclass
from typing import Protocol


class OutsideCounter(Protocol):
    """Where the counter's highest value is kept, outside every database; one for each installation, by its name."""

    def read(self, name: str) -> int | None:
        """Return the value; None where nothing is kept, which is no sign of a restore.

        Raises:
            TransientError: it cannot be read now.
        """

    def raise_to(self, name: str, counter: int) -> None:
        """Keep `counter` where the value is lower or missing; a higher value stays."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """A restore, and how much is held for it."""

    why: str
    batches: int
    messages: int
