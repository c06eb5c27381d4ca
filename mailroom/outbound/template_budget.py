"""Bounds on rendering a template: steps for one mail, processor time for one request.

A step is about half a microsecond of a processor. Every operation is charged before it is done, in proportion to what it
works on; so the same template and data cost the same on every machine, when a batch is accepted and when its mails are sent.
The clock is a second bound, for a request only: seconds of this thread's processor time.
"""

import time
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any

#: The limit of one mail: about a tenth of a second.
STEPS = 200_000
#: Steps between two checks of the clock.
_SLICE = 20_000

TOO_MUCH = "the template takes too long for this number of recipients; split the batch"


class Unfit(ValueError):
    """A template or its data cannot make a mail; the message is a constant sentence."""


class BadValue(Unfit):
    """A value of the data cannot be used where the template uses it; the place is added to the message."""


class Clock:
    """Processor time that one request may take, in the thread that made this clock."""

    def __init__(self, seconds: float, thread_time: Callable[[], float] = time.thread_time) -> None:
        self._thread_time = thread_time
        self._until = thread_time() + seconds

    def is_over(self) -> bool:
        """Return whether the time is used up."""
        return self._thread_time() > self._until


class Budget:
    """The steps left for one mail, taken in slices. One `with budget:` block renders one mail."""

    __slots__ = ("_clock", "_kept", "_price", "_token", "left", "spent")

    def __init__(self, price: int, clock: Clock | None = None) -> None:
        """Charge each mail `price` first."""
        self._price, self._clock = price, clock
        #: Steps of all mails until now.
        self.spent = 0

    def __enter__(self) -> None:
        # The clock was read before the mail: its first slice needs no look at it.
        self._kept, self.left = STEPS - _SLICE, _SLICE - self._price
        self._token: Token[Budget] = _budget.set(self)

    def __exit__(self, *_: object) -> None:
        _budget.reset(self._token)
        # An operation that exceeded the budget was not done.
        self.spent += STEPS - max(0, self._kept + self.left)

    def refill(self) -> None:
        """Take the next slice, less what is overdrawn.

        Raises:
            Unfit: no steps are left for this mail, or the request's time is over.
        """
        if self._clock is not None and self._clock.is_over():
            raise Unfit(TOO_MUCH)
        kept = self._kept + self.left
        if kept < 0:
            raise Unfit("too many loop iterations in the template")
        self.left = min(_SLICE, kept)
        self._kept = kept - self.left


_budget: ContextVar[Budget] = ContextVar("budget")


def spend(steps: int) -> None:
    """Charge the next operation.

    Raises:
        Unfit: it is more than is left.
        LookupError: no mail is being rendered: at compile time this makes Jinja leave constants for the rendering.
    """
    budget = _budget.get()
    budget.left -= steps
    if budget.left < 0:
        budget.refill()


def owe(steps: int) -> None:
    """Charge work that is bounded by the size of a recipient's data; the next operation is refused if nothing is left."""
    _budget.get().left -= steps


def weight(value: Any, characters: int) -> int:
    """Return the steps for work on all of a value: one for each value in it, and one per `characters` of text."""
    steps, left = 0, [value]
    while left:
        one = left.pop()
        steps += 1
        if isinstance(one, str):
            steps += len(one) // characters
        elif isinstance(one, list):
            left += one
        elif isinstance(one, dict):
            left += one
            left += one.values()
        elif isinstance(one, int):
            steps += one.bit_length() // 64
    return steps
