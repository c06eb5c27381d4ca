"""Records opens and clicks before the response, unless that would delay the response.

A reader who follows a link must not wait for our database. So one thread records the events that have come together, in
one transaction, and the response waits for it only briefly. During an outage of the database no response waits: events
are kept in memory, up to a limit, and recorded afterwards; those over the limit, and those of a process that ends
meanwhile, are lost. Opens and clicks may be lost; use this for nothing that may not.
"""

import logging
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mailroom.domain.delivery.events import DeliveryEvent
from mailroom.domain.errors import TransientError
from mailroom.operations.loops import SteadyLoop
from mailroom.ports.events import Events

log = logging.getLogger(__name__)

_MOST, _BATCH = 10_000, 200
_PATIENCE_S, _PAUSE_S = 0.5, 5.0


@dataclass(slots=True, eq=False)
class _Note:
    event: DeliveryEvent
    recorded: threading.Event = field(default_factory=threading.Event)


class EventRecorder:
    """Records events in one thread, which starts with the first event."""

    def __init__(self, events: Events, *, patience_s: float = _PATIENCE_S, pause_s: float = _PAUSE_S) -> None:
        """Take the store, how long a response waits for it, and the pause after an outage, in seconds."""
        self._events, self._patience_s = events, patience_s
        self._waiting: list[_Note] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._loop = SteadyLoop(
            self._record_waiting,
            log=log,
            failing="opens and clicks cannot be recorded now and wait in memory: %s",
            outage_s=pause_s,
        )

    def record(self, event: DeliveryEvent) -> bool:
        """Queue the event, and return whether it was recorded in time."""
        note = _Note(event)
        with self._changed:
            if len(self._waiting) >= _MOST:
                log.warning("an open or click is lost: %d already wait to be recorded", _MOST)
                return False
            self._waiting.append(note)
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._loop.run, args=[threading.Event()], name="notes", daemon=True
                )
                self._thread.start()
        return note.recorded.wait(0 if self._loop.is_failing else self._patience_s)

    def _record_waiting(self) -> float:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting)
            notes = self._waiting[:_BATCH]
        self._record(notes)
        with self._changed:
            del self._waiting[: len(notes)]
        for note in notes:
            note.recorded.set()
        return 0

    def _record(self, notes: list[_Note]) -> None:
        """Record the events, and log those that can never be recorded.

        Raises:
            TransientError: an outage; record them again later.
        """
        try:
            self._events.record([note.event for note in notes], now=datetime.now(UTC))
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001 - the others must be recorded; what cannot be recorded never will be
            if len(notes) == 1:
                log.error("an open or click cannot be recorded: %s", type(error).__name__)
            # One by one: the others belong to other messages and tenants.
            for note in notes if len(notes) > 1 else ():
                self._record([note])
