"""The words of older items are indexed again after an upgrade, by the sweep, a few seconds at a time."""

import time
from collections.abc import Callable

from mailroom.ports.inbox import Inbox

#: Items of one transaction, and the longest time of one sweep, seconds; filing goes on meanwhile.
STEP, LONGEST_S = 50, 30.0


def index_again(inbox: Inbox, *, longest_s: float = LONGEST_S, clock: Callable[[], float] = time.monotonic) -> int:
    """Index items again until none are left or the time is over, and return how many; what is left is the next sweep's."""
    deadline, indexed = clock() + longest_s, 0
    while clock() < deadline and (step := inbox.index_again(limit=STEP)):
        indexed += step
    return indexed
