"""Recording of provider events: stored webhook calls and messages of the tracking queue, in batches into SQL.

    stored calls, not yet handled ─> events ─> recorded ─> marked as handled
    tracking queue, received      ─> events ─> recorded ─> deleted
    parked events that are due    ─> matched again

Recording is idempotent and comes before the acknowledgement, so a crash in between only records the same again. A call or
message that cannot be used never delays the others.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mailroom.delivery.provider_events import ses
from mailroom.delivery.provider_events.fields import Unreadable
from mailroom.delivery.provider_events.registered import READERS
from mailroom.domain.delivery.events import DeliveryEvent
from mailroom.domain.errors import MailroomError, TransientError
from mailroom.operations.loops import SteadyLoop
from mailroom.ports.events import Events
from mailroom.ports.hooks import Hook, Hooks
from mailroom.ports.queue import Queue, Received

log = logging.getLogger(__name__)

#: Calls or messages whose events are recorded together.
_BATCH = 200
_RECEIVE = 10
_WAIT_S = 3
_REMATCH_EVERY = timedelta(seconds=2)
_FORGET_EVERY, _KEPT_FOR = timedelta(hours=1), timedelta(days=7)


class Tracking:
    """Records provider events until it is stopped; several may run at once."""

    def __init__(
        self,
        events: Events,
        hooks: Hooks,
        queue: Queue,
        *,
        forget: Callable[[datetime], object] = lambda _: None,
        step_over: Callable[[str, Exception], object] = lambda _subject, _error: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Take the ports.

        Args:
            forget: Called once an hour to drop what is no longer needed.
            step_over: Records a call or message that cannot be used: its name and the error.
        """
        self._events, self._hooks, self._queue, self._forget, self._clock = events, hooks, queue, forget, clock
        self._step_over = step_over
        self._rematched_at = self._pruned_at = clock()

    def run(self, stop: threading.Event) -> None:
        """Track until `stop` is set; an outage of the database or the queue is waited out."""

        def step() -> float:
            # The queue is long-polled, so no further pause is needed.
            self.once(wait_s=_WAIT_S)
            return 0

        waiting, working = (
            "provider events cannot be processed now and wait: %s",
            "processing of provider events resumed",
        )
        SteadyLoop(step, log=log, failing=waiting, again=working).run(stop)

    def once(self, *, wait_s: int = 0) -> int:
        """Handle at most one batch of each source, and return the number of calls and messages."""
        errors: list[Exception] = []
        handled = self._attempt(self._handle_hooks, errors)
        handled += self._attempt(lambda: self._handle_queue(0 if handled else wait_s), errors)
        now = self._clock()
        if now - self._rematched_at >= _REMATCH_EVERY:
            self._rematched_at = now
            self._attempt(lambda: self._events.rematch(now=now, limit=_BATCH), errors)
        if now - self._pruned_at >= _FORGET_EVERY:
            self._pruned_at = now
            self._attempt(lambda: self._hooks.forget(before=now - _KEPT_FOR), errors)
            self._attempt(lambda: self._forget(now), errors)
        if errors:
            raise errors[0]
        return handled

    def _attempt(self, part: Callable[[], object], errors: list[Exception]) -> int:
        """Run one part; its error is collected so that the other parts still run, but a transient error ends the round."""
        try:
            done = part()
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001 - raised again when the other parts are done
            errors.append(error)
            return 0
        return done if isinstance(done, int) else 0

    def _handle_hooks(self) -> int:
        now = self._clock()
        with self._hooks.taken(most=_BATCH, now=now) as hooks:
            # A call that cannot be used counts as handled; its body stays in the table for an operator.
            self._record([(hook.id, events) for hook in hooks if (events := self._events_of(hook))])
            return len(hooks)

    def _handle_queue(self, wait_s: int) -> int:
        received = self._receive(wait_s)
        values = [(message, self._events_in(message)) for message in received]
        bad = self._record([(message.message_id, events) for message, events in values if events])
        done = [
            message.receipt_handle for message, events in values if events is not None and message.message_id not in bad
        ]
        # The others are redelivered, and end in the dead-letter queue.
        self._queue.delete(done)
        return len(received)

    def _receive(self, wait_s: int) -> list[Received]:
        received = self._queue.receive(most=_RECEIVE, wait_s=wait_s)
        more = received
        while more and len(received) < _BATCH:
            more = self._queue.receive(most=_RECEIVE, wait_s=0)
            received += more
        return received

    def _events_of(self, hook: Hook) -> list[DeliveryEvent]:
        try:
            events = READERS[hook.source](hook.body, received_at=self._clock())
            tenant = hook.facts.get("tenant")
            return [replace(event, tenant=tenant) for event in events]
        except Exception as error:  # noqa: BLE001 - one bad call must not block the batch for ever
            shown = error if isinstance(error, Unreadable) else type(error).__name__
            log.error("webhook call %s of %s cannot be read: %s", hook.id, hook.source, shown)
            self._step_over(f"webhook call {hook.source}/{hook.id}", error)
            return []

    def _events_in(self, message: Received) -> list[DeliveryEvent] | None:
        try:
            return ses.read(ses.unwrapped(message.body), received_at=self._clock())
        except Exception as error:  # noqa: BLE001 - it goes to the dead-letter queue; the others are read
            shown = error if isinstance(error, Unreadable) else type(error).__name__
            log.error("message %s of the tracking queue cannot be read: %s", message.message_id, shown)
            self._step_over(f"message {message.message_id} of the tracking queue", error)
            return None

    def _record(self, events_by_source: Sequence[tuple[str, list[DeliveryEvent]]]) -> set[str]:
        """Record events, all together or, if that fails, each source by itself; return the ids of sources that fail."""
        if not events_by_source:
            return set()
        try:
            self._events.record([event for _, events in events_by_source for event in events], now=self._clock())
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001 - a permanent failure must not block the others
            if len(events_by_source) == 1:
                shown = error if isinstance(error, MailroomError) else type(error).__name__
                log.error("events of %s cannot be recorded: %s", events_by_source[0][0], shown)
                self._step_over(f"events of {events_by_source[0][0]}", error)
                return {events_by_source[0][0]}
            return set().union(*(self._record([one]) for one in events_by_source))
        return set()
