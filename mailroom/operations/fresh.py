"""A value that is asked for, kept for a while, and asked for again."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Fresh(Generic[T]):
    """What `ask` returned at most `fresh_s` seconds ago; one thread asks, and the others wait for its answer.

    What `ask` raises is raised and not kept: the next call asks again.
    """

    def __init__(self, ask: Callable[[], T], fresh_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._fresh_s, self._clock = ask, fresh_s, clock
        self._lock = threading.Lock()
        self._known: tuple[float, T] | None = None

    def get(self) -> T:
        """Return the value."""
        with self._lock:
            if self._known is None or self._clock() - self._known[0] >= self._fresh_s:
                found = self._ask()
                # From the answer on: one that hung for longer than it is fresh would be asked for again at once.
                self._known = self._clock(), found
            return self._known[1]

    def forget(self) -> None:
        """Have the value asked for again at the next call."""
        with self._lock:
            self._known = None
