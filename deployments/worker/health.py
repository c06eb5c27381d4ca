"""Health of the services that a mail needs. During an outage nothing is received, so receive counts do not rise."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from inspect import iscoroutinefunction

from mailroom.domain.errors import MailroomError, NotPermitted

logger = logging.getLogger("mailroom.listener")

#: Seconds between probes during an outage.
_LOOK_AGAIN_S = 2.0
#: Timeout of an async probe, in seconds; blocking probes have their own timeouts.
_PROBE_WITHIN_S = 15.0


class Health:
    """Probes by name, async or blocking; they run only after a failure."""

    def __init__(self, probes: Mapping[str, Callable[[], object]]) -> None:
        self._probes = probes
        self._suspected = True
        self._looking = asyncio.Lock()
        self.outlasted = 0
        self.paused_by: str | None = None

    def suspect(self) -> None:
        """Note a failure that may be an outage."""
        self._suspected = True

    async def ready(self, stopping: asyncio.Event) -> bool:
        """Return True once every probe passes; False when stopped before that.

        `outlasted` counts past outages, so that a caller that failed can see whether one happened in between.
        """
        async with self._looking:
            await self._look(stopping)
        return not stopping.is_set()

    async def _look(self, stopping: asyncio.Event) -> None:
        while self._suspected and not stopping.is_set():
            failing, why = await self._first_failing()
            if failing is None:
                self._suspected = False
            elif failing != self.paused_by:
                logger.error("paused: %s is unavailable (%s); receiving resumes when it is available", failing, why)
            if failing is None and self.paused_by is not None:
                self.outlasted += 1
                logger.warning("resumed: %s is available again", self.paused_by)
            self.paused_by = failing
            if failing is not None:
                await _sleep_unless(stopping, _LOOK_AGAIN_S)

    async def _first_failing(self) -> tuple[str | None, str]:
        for name, probe in self._probes.items():
            try:
                await _ask(probe)
            except NotPermitted as error:
                # An operator must fix it, so the log names it; a metric's label has no room for more.
                return f"{name} ({error.permission} is not granted)", str(error)
            except Exception as error:  # noqa: BLE001 - a probe may fail in any way, and each is an answer
                # The text of other errors may contain a row's values or a password.
                return name, str(error) if isinstance(error, MailroomError) else type(error).__name__
        return None, ""


async def _ask(probe: Callable[[], object]) -> None:
    if iscoroutinefunction(probe):
        await asyncio.wait_for(probe(), _PROBE_WITHIN_S)
    else:
        await asyncio.to_thread(probe)


async def _sleep_unless(stopping: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return
