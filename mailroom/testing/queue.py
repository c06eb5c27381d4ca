"""A queue in memory. It is stricter than a real one may be: only the newest receipt handle of a message is valid."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from mailroom.ports.queue import Received

#: Seconds between checks of a waiting receive for visible messages.
_LOOK_AGAIN_S = 0.01
_BATCH = 10


@dataclass(slots=True)
class _Message:
    id: str
    body: str
    visible_at: float
    receipt_handle: str | None = None
    receive_count: int = 0
    attributes: dict[str, str] = field(default_factory=dict)


class MemoryQueue:
    """The port `Queue` in memory, safe between threads; `clock` returns its time, in seconds."""

    def __init__(self, *, visibility_s: float = 30, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._visibility_s = visibility_s
        self._messages: dict[str, _Message] = {}
        self._numbers = count(1)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """The number of messages that are not deleted, visible or not."""
        return len(self._messages)

    @property
    def bodies(self) -> list[str]:
        """The bodies of messages that are not deleted, in the order of sending."""
        with self._lock:
            return [message.body for message in self._messages.values()]

    def send(self, body: str, *, delay_s: float = 0, **attributes: str) -> str:
        """Put a message in the queue, visible after `delay_s`, and return its id."""
        with self._lock:
            message = _Message(f"message-{next(self._numbers)}", body, self.clock() + delay_s, attributes=attributes)
            self._messages[message.id] = message
        return message.id

    def post(self, bodies: Sequence[str], *, delay_s: int = 0) -> None:
        """Put these messages in the queue, visible after `delay_s`."""
        for body in bodies:
            self.send(body, delay_s=delay_s)

    def receive(self, *, most: int, wait_s: int) -> list[Received]:
        """Return up to `most` (at most 10) visible messages, oldest first; `wait_s` is real time."""
        deadline = time.monotonic() + wait_s
        while True:
            with self._lock:
                visible = [one for one in self._messages.values() if one.visible_at <= self.clock()]
                received = [self._receive(message) for message in visible[: min(most, _BATCH)]]
            left_s = deadline - time.monotonic()
            if received or left_s <= 0:
                return received
            time.sleep(min(_LOOK_AGAIN_S, left_s))

    def delete(self, receipts: Sequence[str]) -> None:
        """Delete these messages; receipt handles that are no longer valid are ignored."""
        with self._lock:
            for message in self._named(receipts):
                del self._messages[message.id]

    def hide(self, receipts: Sequence[str], *, seconds: int) -> None:
        """Set the visibility timeout to `seconds` from now; receipt handles that are no longer valid are ignored."""
        with self._lock:
            for message in self._named(receipts):
                message.visible_at = self.clock() + seconds

    def waiting(self) -> int:
        """Return how many messages are visible."""
        with self._lock:
            return sum(one.visible_at <= self.clock() for one in self._messages.values())

    def _receive(self, message: _Message) -> Received:
        message.receive_count += 1
        message.visible_at = self.clock() + self._visibility_s
        message.receipt_handle = f"receipt-{next(self._numbers)}"
        return Received(
            message.id, message.receipt_handle, message.body, message.receive_count, dict(message.attributes)
        )

    def _named(self, receipts: Sequence[str]) -> Iterator[_Message]:
        named = set(receipts)
        yield from [message for message in self._messages.values() if message.receipt_handle in named]
