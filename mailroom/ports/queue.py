"""What brings mails to a worker: the queue that tells of them, the runs that are started, the roster of who lives.

As for all ports, every call is blocking and may raise `TransientError`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from mailroom.domain.inbound.received_email import ObjectRef

MOST_KEPT = timedelta(days=14)
"""How long SQS can keep a message, which our queues use: a message that ends unread may be the last word of a mail."""


@dataclass(frozen=True, slots=True)
class Received:
    """One message of a queue, as received this time. `attributes` has the sender's text attributes by name."""

    message_id: str
    receipt: str
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


class Roster(Protocol):
    """Which workers live."""

    def sign(
        self, worker: str, *, now: datetime, in_hand: int, paused_by: str | None, held_by: str | None = None
    ) -> None:
        """Note that `worker` lives, how many e-mails it has in hand, what outage keeps it from receiving, and what an operator holds back."""

    def leave(self, worker: str) -> None:
        """Note that `worker` has stopped by itself."""


@dataclass(frozen=True, slots=True)
class Run:
    """A flow run as the orchestrator tells of it."""

    id: str
    name: str
    state: str
    url: str


class RunStarter(Protocol):
    """The orchestrator, seen from the product."""

    def start(self, ref: ObjectRef) -> Run:
        """Return the run for this object, created and scheduled if there is none."""

    def retry(self, run_id: str) -> Run:
        """Schedule this run again under its own id.

        Raises:
            LookupError: the orchestrator has no such run.
        """

    def resume(self, run_id: str) -> bool:
        """Let a run that suspended itself go on; False for one that waits no more, or is not there."""

    def find(self, run_id: str) -> Run | None:
        """Return the run, or None."""

    def tasks(self, run_id: str) -> Iterator[tuple[str, str]]:
        """Yield the name and state of each task of a run, in the order of their start."""


class Mailbox(Protocol):
    """The queue that tells of batches to send. A message may be there more than once."""

    def post(self, bodies: Sequence[str]) -> None:
        """Put these messages on the queue; with an error some of them may be there."""
