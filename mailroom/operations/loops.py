"""Loops that outlive an outage: a failure is logged once, waited out, and the step is done again.

For threads that work until they are stopped (`SteadyLoop`), and for tasks of an event loop that look at something from time
to time until they are cancelled (`every`). `wait_until` is for what must come within some seconds.
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
        """Take the step and what is logged of it.

        Args:
            step: Does what there is to do, and returns after how many seconds it is to be done again; 0 is at once.
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
        """Do the step once; None: it failed."""
        try:
            pause_s = self._step()
        except Exception as error:  # noqa: BLE001 - the loop must survive; what failed is done again
            if not self.is_failing:
                # The text of other errors may hold values of a row, or a password.
                self._log.warning(self._failing, error if isinstance(error, MailroomError) else type(error).__name__)
            self.is_failing = True
            return None
        if self.is_failing and self._again is not None:
            self._log.info(self._again)
        self.is_failing = False
        return pause_s


def wait_until(holds: Callable[[], object], *, within_s: float, every_s: float) -> bool:
    """Return True once `holds` does, looking every `every_s` seconds; False when it did not `within_s` seconds."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


async def every(
    seconds: float, look: Callable[[], Awaitable[object]], *, failed: Callable[[Exception], object]
) -> None:
    """Await `look` every `seconds` until cancelled; `failed` is called with what it raised, and the next look follows.

    What `failed` raises ends the loop.
    """
    while True:
        await asyncio.sleep(seconds)
        try:
            await look()
        except Exception as error:  # noqa: BLE001 - the next look may work
            failed(error)
