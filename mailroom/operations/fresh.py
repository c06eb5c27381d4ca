"""A cached value that is fetched again once it is too old."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Fresh(Generic[T]):
    """A cache of the result of `ask`, at most `fresh_s` seconds old; one thread calls it, and the others wait for the result.

    Errors of `ask` are raised and not cached: the next call tries again.
    """

    def __init__(self, ask: Callable[[], T], fresh_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._fresh_s, self._clock = ask, fresh_s, clock
        self._lock = threading.Lock()
        self._known: tuple[float, T] | None = None

    def get(self) -> T:
        """Return the value."""
        with self._lock:
            if self._known is None or self._clock() - self._known[0] >= self._fresh_s:
                value = self._ask()
                # Timed from the answer: a call that took longer than `fresh_s` would otherwise be repeated at once.
                self._known = self._clock(), value
            return self._known[1]

    def forget(self) -> None:
        """Drop the cached value; the next call fetches it again."""
        with self._lock:
            self._known = None
