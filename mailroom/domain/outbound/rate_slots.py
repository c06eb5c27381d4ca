"""Rate slots: a rate limit without counting, by slots that are each used for one mail at a time.

A slot is free again one window after its last call to the provider ended. At whatever moment of a call the provider counts
the mail, two mails of one slot are then a window apart, so no window contains more mails than there are slots.
"""

import math
from dataclasses import dataclass

#: More slots than this cost more to search than they gain; faster rates have shorter windows instead.
MOST_SLOTS = 1_000


@dataclass(frozen=True, slots=True)
class RateSlots:
    """At most `slots` mails in any `window_s` seconds."""

    slots: int
    window_s: float

    @classmethod
    def of(cls, per_second: float) -> "RateSlots":
        """Return the slots for at most `per_second` mails in any one second; the rate must be more than 0."""
        if per_second < 1:
            return cls(1, 1 / per_second)
        windows = math.ceil(per_second / MOST_SLOTS)
        return cls(int(per_second / windows), 1 / windows)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """An account's sending rate in mails a second: the provider's quota, or an operator's lower limit; 0 sends nothing."""

    provider: str
    identity: str
    per_second: float
