"""Queues with visibility timeouts and at-least-once delivery."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

MOST_KEPT = timedelta(days=14)
"""The longest retention of SQS, which our queues use: a message that expires unread may be a mail's only notification."""


@dataclass(frozen=True, slots=True)
class Received:
    """One received message of a queue; `receipt_handle` is valid for this receive. `attributes` are text attributes by name."""

    message_id: str
    receipt_handle: str
    body: str
    receive_count: int
    attributes: Mapping[str, str] = field(default_factory=dict)


class Queue(Protocol):
    """A queue with visibility timeouts and at-least-once delivery."""

    def receive(self, *, most: int, wait_s: int) -> list[Received]:
        """Return up to `most` (1 to 10) messages, after at most `wait_s` seconds, and start their visibility timeout."""

    def delete(self, receipts: Sequence[str]) -> None:
        """Delete the messages with these receipt handles: they are not delivered again."""

    def hide(self, receipts: Sequence[str], *, seconds: int) -> None:
        """Change the visibility timeout of these receipt handles to `seconds` from now; 0 makes them visible at once."""

    def post(self, bodies: Sequence[str], *, delay_s: int = 0) -> None:
        """Post these messages, visible after `delay_s` (0 to 900); after an error some may have been posted."""

    def waiting(self) -> int:
        """Return the approximate number of visible messages."""
