"""The roster of live workers."""

from datetime import datetime
from typing import Protocol


class Roster(Protocol):
    """Workers by their heartbeats."""

    def heartbeat(
        self, worker: str, *, now: datetime, in_hand: int, paused_by: str | None, held_by: str | None = None
    ) -> None:
        """Record a heartbeat of `worker`: how many e-mails it works on, and what pauses it.

        `paused_by` names the outage that keeps it from receiving, `held_by` what an operator holds back.
        """

    def leave(self, worker: str) -> None:
        """Remove `worker`, which has stopped in order."""
