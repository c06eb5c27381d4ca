"""Queues with visibility timeouts and at-least-once delivery."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

MOST_KEPT = timedelta(days=14)
"""How long SQS can keep a message, which our queues use: a message that ends unread may be the last word of a mail."""


@dataclass(frozen=True, slots=True)
class Received:
    """One message of a queue, as received this time. `attributes` has the sender's text attributes by name."""

    message_id: str
    receipt_handle: str
    body: str
    receive_count: int
    attributes: Mapping[str, str] = field(default_factory=dict)


class Queue(Protocol):
    """A queue with visibility timeouts and at-least-once delivery."""

    def receive(self, *, most: int, wait_s: int) -> list[Received]:
        """Return up to `most` (1 to 10) messages, after at most `wait_s` seconds; they stay invisible meanwhile."""

    def delete(self, receipts: Sequence[str]) -> None:
        """Acknowledge: these messages never come back."""

    def hide(self, receipts: Sequence[str], *, seconds: int) -> None:
        """Keep these messages invisible for `seconds` from now; 0 gives them back at once."""

    def post(self, bodies: Sequence[str], *, delay_s: int = 0) -> None:
        """Put these messages in the queue, to be seen after `delay_s` (0 to 900); with an error some may be there."""

    def waiting(self) -> int:
        """Return about how many messages are visible."""
