"""The cluster-wide limit of one provider identity."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mailroom.domain.outbound.message import Lane


@dataclass(slots=True)
class Permit:
    """Leave to hand one mail over, not before `at` and not after `until`, both of `time.monotonic`.

    Who uses it notes when the call to the provider `began` and `ended`. `place` and `holder` are the rate's own.
    """

    at: float
    until: float
    window_s: float = 0.0
    place: int = 0
    holder: str = ""
    began: float | None = None
    ended: float | None = None

    @property
    def free_at(self) -> float:
        """When its place may be used again."""
        return self.at if self.ended is None else self.ended + self.window_s


class Rate(Protocol):
    """The cluster-wide limit of one provider identity."""

    def wait(self, mails: int, *, lane: Lane = Lane.TRANSACTIONAL) -> list[Permit]:
        """Wait for turns and return them by their times, at most one for each of so many mails.

        None are after some seconds without one: look around, then ask again. Every turn is to be given back.
        """

    def give_back(self, permits: Sequence[Permit]) -> None:
        """Take back turns, used or not. Those that nobody gives back are free again after some seconds."""
