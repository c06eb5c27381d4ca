"""Return paths of sent messages: which attempt a token was made for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AttemptMade:
    """The attempt at a message that a token was made for. `recipient` is the message's, normalised.

    `provider` is the attempt's; where that is not known, the one that the message was last sent by.
    """

    message_id: str
    attempt: int
    tenant: str
    recipient: str
    provider: str


class ReturnPaths(Protocol):
    """Which attempt each token was made for. Every call may raise `TransientError`."""

    def issue(self, attempts: Sequence[tuple[str, int]], *, now: datetime) -> list[str]:
        """Store a new token for each attempt (message id, number), and return the tokens in this order."""

    def find(self, token: str, *, received_at: datetime) -> AttemptMade | None:
        """Return the attempt of a token for a report received then; None: unknown, or sent longer ago than `VALID_FOR`."""

    def forget(self, *, before: datetime) -> int:
        """Delete the tokens issued before `before`, and return how many."""
