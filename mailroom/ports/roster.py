"""Which workers live."""

from datetime import datetime
from typing import Protocol


class Roster(Protocol):
    """Which workers live."""

    def heartbeat(
        self, worker: str, *, now: datetime, in_hand: int, paused_by: str | None, held_by: str | None = None
    ) -> None:
        """Note that `worker` lives, how many e-mails it has in hand, what outage keeps it from receiving, and what an operator holds back."""

    def leave(self, worker: str) -> None:
        """Note that `worker` has stopped by itself."""
