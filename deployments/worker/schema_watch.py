"""Looks at the schema with every beat, also while nothing is received, so that an idle worker pauses as well."""

import asyncio
import logging
from collections.abc import Sequence

from sqlalchemy import Engine

from deployments.worker.health import Health
from mailroom.adapters.postgres.engine import refuse_unfit
from mailroom.domain.errors import MailroomError

logger = logging.getLogger("mailroom.worker")


class SchemaWatch:
    """Has the listeners ask their probes when the database stops fitting; `fits` holds what the pool would start."""

    def __init__(self, engine: Engine, healths: Sequence[Health], *, every_s: float) -> None:
        self._engine, self._healths, self._every_s = engine, healths, every_s
        self.fits = True

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await asyncio.to_thread(refuse_unfit, self._engine)
            except Exception as error:  # noqa: BLE001 - whatever keeps it from looking, the next look may work
                self.fits = False
                for health in self._healths:
                    health.suspect()
                if not isinstance(error, MailroomError):
                    logger.warning("the database schema cannot be checked now: %s", type(error).__name__)
            else:
                self.fits = True
