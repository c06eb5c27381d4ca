"""Detection of a restored database: messages that wait in it may have been sent after the dump.

Either of two signs is enough. The database's identity (server, timeline, database, table) differs from the one stored in
it; or its counter is lower than one seen before: in the store outside every database, or in a process's memory. The counter
advances before messages are leased, and every few seconds while they are: first in the database, then outside, never
backwards. ADR 10 has the measurements and the window that remains.
"""

from dataclasses import dataclass
from typing import Protocol


class OutsideCounter(Protocol):
    """The store of the counter's highest value, outside every database; one counter for each installation, by name."""

    def read(self, name: str) -> int | None:
        """Return the value; None where none is stored, which is no sign of a restore.

        Raises:
            TransientError: it cannot be read now.
        """

    def raise_to(self, name: str, counter: int) -> None:
        """Store `counter` if the value is lower or missing; a higher value is kept."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """A detected restore, and how many batches and messages are held because of it."""

    why: str
    batches: int
    messages: int
