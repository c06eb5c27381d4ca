"""How a rate is kept without counting: by places, each of which is used for one mail at a time.

A place is free again one window after its last call to the provider ended. Whenever in its call the provider counted the
mail, two mails of one place are then a window apart for the provider, so no window sees more mails than there are places.
"""

import math
from dataclasses import dataclass

#: More places than this cost more to look through than they gain; faster rates have shorter windows instead.
MOST_SLOTS = 1_000


@dataclass(frozen=True, slots=True)
class RateSlots:
    """So many mails in any `window_s` seconds."""

    slots: int
    window_s: float

    @classmethod
    def of(cls, per_second: float) -> "RateSlots":
        """Return the pace that lets at most `per_second` mails go in any one second; it must be more than 0."""
        if per_second < 1:
            return cls(1, 1 / per_second)
        windows = math.ceil(per_second / MOST_SLOTS)
        return cls(int(per_second / windows), 1 / windows)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many mails a second an account may be handed: the provider's quota, or less where an operator said so; 0 is none."""

    provider: str
    identity: str
    per_second: float
