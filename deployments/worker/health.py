"""Whether what a mail needs is there. While it is not, nothing is received: an outage must not burn receive counts."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from inspect import iscoroutinefunction

from mailroom.domain.errors import MailroomError, NotPermitted

logger = logging.getLogger("mailroom.listener")

#: How often an outage is looked at again.
_LOOK_AGAIN_S = 2.0
#: How long an async probe may take; the others limit themselves.
_PROBE_WITHIN_S = 15.0


class Health:
    """Probes by name, async ones or such that block; they are asked only after something went wrong."""

    def __init__(self, probes: Mapping[str, Callable[[], object]]) -> None:
        self._probes = probes
        self._suspected = True
        self._looking = asyncio.Lock()
        self.outlasted = 0
        self.paused_by: str | None = None

    def suspect(self) -> None:
        """Note that something went wrong which may be an outage."""
        self._suspected = True

    async def ready(self, stopping: asyncio.Event) -> bool:
        """Return True once every probe passes; False when stopped before that.

        `outlasted` counts the outages that are over, so that whoever failed may know whether one came in between.
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
                # An operator mends it, and must read which; the label of a metric has no place for more.
                return f"{name} ({error.permission} is not granted)", str(error)
            except Exception as error:  # noqa: BLE001 - a probe may fail in any way, and each is an answer
                # The text of other errors may name values of a row, or a password.
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
