"""Loops that survive an outage: a failure is logged once, waited out, and the step is repeated.

`SteadyLoop` is for threads that run until they are stopped, `every` for periodic tasks of an event loop that run until they
are cancelled. `wait_until` polls a condition with a deadline.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from mailroom.domain.errors import MailroomError

#: How long a thread waits after a failure.
OUTAGE_S = 5.0


@dataclass(slots=True)
class Backoff:
    """A pause in seconds that doubles from `first_s` up to `longest_s`."""

    first_s: float
    longest_s: float
    pause_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.pause_s = self.first_s

    def grow(self) -> float:
        """Double the pause and return it."""
        self.pause_s = min(2 * self.pause_s, self.longest_s)
        return self.pause_s

    def reset(self) -> float:
        """Return to the first pause."""
        self.pause_s = self.first_s
        return self.pause_s


class SteadyLoop:
    """Repeats a step until it is stopped, whatever the step raises; `is_failing` is set while it fails."""

    def __init__(
        self,
        step: Callable[[], float],
        *,
        log: logging.Logger,
        failing: str,
        again: str | None = None,
        outage_s: float | None = None,
    ) -> None:
        """Take the step and its log messages.

        Args:
            step: Does the work that is due, and returns the seconds until it is called again; 0 is at once.
            log: Where an outage is logged.
            failing: Logged at the first failure of an outage; its one `%s` is the error.
            again: Logged when the step works again; None logs nothing.
            outage_s: The pause after a failure; None is `OUTAGE_S`.
        """
        self._step, self._log, self._failing, self._again, self._outage_s = step, log, failing, again, outage_s
        self.is_failing = False

    def run(self, stop: threading.Event, *, wake: threading.Event | None = None) -> None:
        """Repeat the step until `stop` is set; `wake` ends a pause early, but not the pause after a failure."""
        while not stop.is_set():
            pause_s = self._try()
            if pause_s is None:
                stop.wait(OUTAGE_S if self._outage_s is None else self._outage_s)
            elif pause_s > 0:
                (wake or stop).wait(pause_s)
                if wake is not None:
                    wake.clear()

    def _try(self) -> float | None:
        """Run the step once; None means that it failed."""
        try:
            pause_s = self._step()
        except Exception as error:  # noqa: BLE001 - the loop must survive; the step is repeated
            if not self.is_failing:
                # The text of other errors may contain values of a row, or a password.
                self._log.warning(self._failing, error if isinstance(error, MailroomError) else type(error).__name__)
            self.is_failing = True
            return None
        if self.is_failing and self._again is not None:
            self._log.info(self._again)
        self.is_failing = False
        return pause_s


def wait_until(holds: Callable[[], object], *, within_s: float, every_s: float) -> bool:
    """Return True once `holds()` is true, polled every `every_s` seconds; False after `within_s` seconds."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


async def every(
    seconds: float, look: Callable[[], Awaitable[object]], *, failed: Callable[[Exception], object]
) -> None:
    """Await `look` every `seconds` until cancelled; `failed` is called with its error, and the loop goes on.

    An error raised by `failed` ends the loop.
    """
    while True:
        await asyncio.sleep(seconds)
        try:
            await look()
        except Exception as error:  # noqa: BLE001 - the next call may work
            failed(error)
