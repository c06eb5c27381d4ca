"""Watches Prefect's scheduler: each worker checks every minute whether it still works.

The flow `watch` cannot report that schedules do not fire, for it is itself scheduled.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from flows.support.events import EventName, emit
from mailroom.domain.errors import MailroomError
from mailroom.operations.loops import every
from mailroom.operations.monitoring import REMIND_AFTER
from mailroom.ports.scheduler import Scheduler

logger = logging.getLogger("mailroom.worker")

_LOOK_EVERY_S = 60.0
#: A scheduler that has just started, or a schedule that was just edited, has its runs a minute later.
_LOOKS = 3


class SchedulerWatch:
    """Emits `mailroom.schedules.silent` after three silent checks in a row, then each hour while it lasts."""

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        every_s: float = _LOOK_EVERY_S,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._scheduler, self._every_s, self._clock = scheduler, every_s, clock
        self._silent = 0
        self._emitted_at: datetime | None = None

    async def run(self) -> None:
        """Check until cancelled."""
        await every(self._every_s, self.look, failed=_failed)

    async def look(self) -> None:
        """Check once."""
        scheduling, now = await asyncio.to_thread(self._scheduler.look), self._clock()
        if not scheduling.is_silent(now):
            if self._emitted_at is not None:
                logger.warning("Prefect's scheduler is running again")
            self._silent, self._emitted_at = 0, None
            return
        self._silent += 1
        reminded = self._emitted_at is not None and now - self._emitted_at < REMIND_AFTER
        if self._silent < _LOOKS or reminded:
            return
        self._emitted_at = now
        worked = scheduling.last_worked_at.isoformat() if scheduling.last_worked_at else "never"
        logger.error(
            "Prefect's scheduler has stopped, so scheduled flows do not start; restart the Prefect server's "
            "services; last active: %s",
            worked,
        )
        facts = {"last_worked_at": worked, "without_runs": ", ".join(scheduling.idle)}
        emit(EventName.SCHEDULES_SILENT, "schedules", facts=facts)


def _failed(error: Exception) -> None:
    # While Prefect does not answer, the listener pauses and logs it.
    if not isinstance(error, MailroomError):
        logger.error("Prefect's scheduler cannot be checked; trying again", exc_info=error)
