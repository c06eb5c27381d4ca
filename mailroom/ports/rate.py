"""The cluster-wide rate limit of one provider identity."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mailroom.domain.outbound.message import Lane


@dataclass(slots=True)
class Permit:
    """A permit to send one mail, not before `at` and not after `until`, both of `time.monotonic`.

    The sender sets when the call to the provider `began` and `ended`. `place` and `holder` are internal to the rate.
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
        """When its slot is free again."""
        return self.at if self.ended is None else self.ended + self.window_s


class Rate(Protocol):
    """The cluster-wide rate limit of one provider identity."""

    def wait(self, mails: int, *, lane: Lane = Lane.TRANSACTIONAL) -> list[Permit]:
        """Wait for permits and return up to `mails` of them, sorted by `at`.

        Empty after some seconds without one, so that the caller can check whether to stop, then call again. Every permit
        must be given back.
        """

    def give_back(self, permits: Sequence[Permit]) -> None:
        """Give permits back, used or not. One that is not given back expires after some seconds."""
