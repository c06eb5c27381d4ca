"""Notes of what happened at our own door, recorded before it is answered, unless that would keep somebody waiting.

A reader who follows a link wants the page behind it, not our database. So a note is handed to one thread, which records
what has come together in one transaction, and the answer waits for it a moment only. While the database is away nobody
waits: notes are kept in memory, so many, and recorded when it is back; those of a process that ends meanwhile are lost,
and so are those over the number. For opens and clicks that is the right way round; for nothing that must not be lost.
"""

import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mailroom.domain.delivery.events import DeliveryEvent
from mailroom.domain.errors import TransientError
from mailroom.ports.events import Events

log = logging.getLogger(__name__)

_MOST, _BATCH = 10_000, 200
_PATIENCE_S, _PAUSE_S = 0.5, 5.0


@dataclass(slots=True, eq=False)
class _Note:
    event: DeliveryEvent
    recorded: threading.Event = field(default_factory=threading.Event)


class Notes:
    """Records notes in a thread of its own, which begins with the first one."""

    def __init__(self, events: Events, *, patience_s: float = _PATIENCE_S, pause_s: float = _PAUSE_S) -> None:
        """Take where notes are recorded, how long an answer waits for it, and how long an outage is left alone."""
        self._events, self._patience_s, self._pause_s = events, patience_s, pause_s
        self._waiting: list[_Note] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._away = False

    def note(self, event: DeliveryEvent) -> bool:
        """Have the event recorded, and return whether it is by now."""
        note = _Note(event)
        with self._changed:
            if len(self._waiting) >= _MOST:
                log.warning("an open or click is lost: %d already wait to be recorded", _MOST)
                return False
            self._waiting.append(note)
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="notes", daemon=True)
                self._thread.start()
        return note.recorded.wait(0 if self._away else self._patience_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                notes = self._waiting[:_BATCH]
            if not self._is_recorded(notes):
                time.sleep(self._pause_s)
                continue
            with self._changed:
                del self._waiting[: len(notes)]
            for note in notes:
                note.recorded.set()

    def _is_recorded(self, notes: list[_Note]) -> bool:
        """Record, and return whether that is over; only an outage is not."""
        try:
            self._events.record([note.event for note in notes], now=datetime.now(UTC))
        except TransientError as error:
            if not self._away:
                log.warning("opens and clicks cannot be recorded now and wait in memory: %s", error)
            self._away = True
            return False
        except Exception as error:  # noqa: BLE001 - the thread must survive; what cannot be recorded never will be
            if len(notes) > 1:
                # Each by itself: the others are of other messages, and of other tenants.
                return all(self._is_recorded([note]) for note in notes)
            log.error("an open or click cannot be recorded: %s", type(error).__name__)
        self._away = False
        return True
