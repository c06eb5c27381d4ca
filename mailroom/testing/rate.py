"""A rate in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from mailroom.domain.outbound.message import Lane
from mailroom.ports.rate import Permit


@dataclass
class MemoryRate:
    """The port `Rate` in memory, without waiting: at most `permit` permits a call, at most `places` not given back.

    The next `none` calls get no permit. `asked` and `lanes` list the arguments of each call; `out` is the number of permits not
    given back yet.
    """

    permit: int = 10
    places: float = inf
    none: int = 0
    asked: list[int] = field(default_factory=list)
    lanes: list[Lane] = field(default_factory=list)
    out: int = 0
    given_back: int = 0

    def wait(self, mails: int, *, lane: Lane = Lane.TRANSACTIONAL) -> list[Permit]:
        """Return permits that may be used at once."""
        self.asked.append(mails)
        self.lanes.append(lane)
        if self.none:
            self.none -= 1
            return []
        free = int(min(mails, self.permit, self.places - self.out))
        self.out += free
        return [Permit(at=0.0, until=inf) for _ in range(free)]

    def give_back(self, permits: Sequence[Permit]) -> None:
        """Give the permits back."""
        self.out -= len(permits)
        self.given_back += len(permits)
