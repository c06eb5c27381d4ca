"""The mailbox queue: notifications of batches to send."""

from collections.abc import Sequence
from typing import Protocol


class Mailbox(Protocol):
    """The queue of batches to send; a batch may be in it more than once."""

    def post(self, bodies: Sequence[str]) -> None:
        """Post these messages; after an error some of them may have been posted."""
