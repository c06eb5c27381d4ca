"""Tracking inside the worker: one thread handles provider events, without a flow run for each."""

import asyncio
import threading
from functools import partial

from mailroom.adapters.postgres.outbound.retention import forget_outbound
from mailroom.adapters.postgres.skipped_rows import note_skipped, why
from mailroom.delivery.tracking import Tracking
from mailroom.ports.monitoring import Loop
from mailroom.wiring import Installation


class TrackingThread:
    """Tracks from `start` until `stop`; events in process are finished then, or handled again by another worker."""

    def __init__(self, installation: Installation) -> None:
        engine, store = installation.engine, installation.store
        self._tracking = Tracking(
            store.events,
            store.hooks,
            installation.queue(installation.settings.tracking_queue_url),
            forget=partial(forget_outbound, engine),
            step_over=lambda subject, error: note_skipped(engine, Loop.TRACKING, [(subject, why(error))]),
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tracking.run, args=[self._stop], name="tracking", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def stop(self, *, patience_s: float) -> None:
        """Stop after the current batch of events."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, patience_s)
