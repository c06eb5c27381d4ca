"""The queue that tells of batches to send."""

from collections.abc import Sequence
from typing import Protocol


class Mailbox(Protocol):
    """The queue that tells of batches to send. A message may be there more than once."""

    def post(self, bodies: Sequence[str]) -> None:
        """Put these messages on the queue; with an error some of them may be there."""
