"""Delivery events in memory."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailroom.domain.delivery.events import PARKED_FOR, DeliveryEvent, next_try
from mailroom.ports.events import Folded, Parked


@dataclass(slots=True)
class _Waiting:
    event: DeliveryEvent
    parked_at: datetime
    next_at: datetime
    tries: int = 0

    def is_aged(self, now: datetime) -> bool:
        return self.parked_at <= now - PARKED_FOR


class MemoryEvents:
    """The port `Events` over a dict, for the messages whose ids are in `known`; None knows every message.

    `fault` is raised instead of recording while it is set, and `stuck` is waited for.
    """

    def __init__(self, known: set[str] | None = None) -> None:
        self.known = known
        self.events: dict[str, DeliveryEvent] = {}
        self.fault: Exception | None = None
        self.stuck = threading.Event()
        self.stuck.set()
        self._parked: dict[str, _Waiting] = {}

    def record(self, events: Sequence[DeliveryEvent], *, now: datetime) -> Folded:
        """Store each event once, or park it."""
        self.stuck.wait(60)
        if self.fault is not None:
            raise self.fault
        matched = parked = repeated = 0
        for event in events:
            if event.event_id in self.events or event.event_id in self._parked:
                repeated += 1
            elif self._matches(event):
                self.events[event.event_id] = event
                matched += 1
            else:
                self._parked[event.event_id] = _Waiting(event, now, next_try(0, now))
                parked += 1
        return Folded(matched=matched, parked=parked, repeated=repeated)

    def rematch(self, *, now: datetime, limit: int) -> Folded:
        """Match parked events again, each that is due."""
        due = [one for one in self._parked.values() if one.next_at <= now and not one.is_aged(now)][:limit]
        matching = [one for one in due if self._matches(one.event)]
        for one in due:
            one.tries += 1
            one.next_at = next_try(one.tries, now)
        for one in matching:
            self.events[one.event.event_id] = self._parked.pop(one.event.event_id).event
        return Folded(matched=len(matching), parked=len(due) - len(matching))

    def parked(self, *, now: datetime) -> Parked:
        """Count the parked events."""
        waiting = [one.parked_at for one in self._parked.values() if not one.is_aged(now)]
        aged = len(self._parked) - len(waiting)
        return Parked(waiting=len(waiting), aged=aged, oldest=min(waiting, default=None))

    def _matches(self, event: DeliveryEvent) -> bool:
        return self.known is None or event.message_id in self.known
