"""Checks the schema with every heartbeat, also while nothing is received, so that an idle worker pauses as well."""

import asyncio
import logging
from collections.abc import Sequence

from sqlalchemy import Engine

from deployments.worker.health import Health
from mailroom.adapters.postgres.engine import refuse_unfit
from mailroom.domain.errors import MailroomError
from mailroom.operations.loops import every

logger = logging.getLogger("mailroom.worker")


class SchemaWatch:
    """Makes the listeners run their probes when the schema stops fitting; `fits` holds back the pool's runs."""

    def __init__(self, engine: Engine, healths: Sequence[Health], *, every_s: float) -> None:
        self._engine, self._healths, self._every_s = engine, healths, every_s
        self.fits = True

    async def run(self) -> None:
        """Check until cancelled."""
        await every(self._every_s, self._look, failed=self._failed)

    async def _look(self) -> None:
        await asyncio.to_thread(refuse_unfit, self._engine)
        self.fits = True

    def _failed(self, error: Exception) -> None:
        self.fits = False
        for health in self._healths:
            health.suspect()
        if not isinstance(error, MailroomError):
            logger.warning("the database schema cannot be checked now: %s", type(error).__name__)
