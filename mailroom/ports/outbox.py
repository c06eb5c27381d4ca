"""The transactional outbox: submitted batches, stored together with orders to send them.

Outbox, dispatch and events work on one SQL database. Together they guarantee "never twice, never lost": a batch is stored
with its outbox row in one transaction; a message becomes `sending` in a commit before the provider is called; the
provider's answer is stored after. Every call may raise `TransientError`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

from mailroom.domain.outbound.message import Batch, Content, Draft, Lane, Status
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.ports.holds import Holds
from mailroom.ports.resends import Resends


@dataclass(frozen=True, slots=True)
class SubmissionKey:
    """A caller's idempotency key, with the SHA-256 of its request (lower-case hex)."""

    value: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxOrder:
    """A message for the mailbox queue: the batch has something to send from `due_at` on."""

    id: int
    batch_id: str
    due_at: datetime
    lane: Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The answer to the first request with this key; `repeated` if this request was not the first."""

    batch_id: str
    messages: int
    duplicates: tuple[int, ...] = ()
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class AlreadySent:
    """A message that could not be cancelled any more, and its status."""

    message_id: str
    recipient: str
    status: Status


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The result of a cancel: how many messages are withheld, and which were sent or may have been (`gone`).

    `held` counts withheld messages that were held: after a restore, these may have been sent before it.
    """

    cancelled: int
    gone: tuple[AlreadySent, ...]
    held: int = 0


class Outbox(Holds, Resends, Protocol):
    """Accepts batches. Each is stored with an order to send it, which a relay posts to the mailbox queue."""

    def answered(self, tenant: str, key: SubmissionKey) -> Accepted | None:
        """Return the answer to the first request with this key; None for a new key.

        Raises:
            Conflict: the key was used before with another digest.
        """

    def tests_since(self, tenant: str, since: datetime) -> int:
        """Return how many test mails (`mailroom.domain.outbound.trials`) the tenant submitted since then."""

    def accept(
        self,
        batch: Batch,
        contents: Collection[Content],
        drafts: Collection[Draft],
        *,
        files: Mapping[str, bytes] = MappingProxyType({}),
        duplicates: Sequence[int] = (),
        key: SubmissionKey | None = None,
        now: datetime,
    ) -> Accepted:
        """Store a batch with its messages, files (by SHA-256), key and outbox row in one transaction.

        The same key with the same digest returns the first answer and stores nothing.

        Raises:
            Conflict: the key was used before with another digest.
        """

    def accept_each(
        self,
        batch: Batch,
        contents: Collection[Content],
        drafts: Sequence[tuple[SubmissionKey, Draft]],
        *,
        now: datetime,
    ) -> int:
        """Store the drafts whose own key is new as one batch, and return how many; 0 makes no batch."""

    def take(self, *, most: int, now: datetime, until: datetime) -> list[OutboxOrder]:
        """Lease up to `most` unpublished orders until `until`; one that cannot be used is skipped for minutes."""

    def published(self, orders: Sequence[OutboxOrder], *, now: datetime) -> None:
        """Record that these orders are on the mailbox queue: messages become `queued`, or `scheduled` until their time."""

    def remind(self, *, before: datetime, limit: int, now: datetime, only: Collection[str] | None = None) -> list[str]:
        """Order batches again that were due before `before` and that no run has worked on since; return their ids.

        Their order was lost from the queue, or their worker died in a run without an order. Batches that a circuit breaker
        stops are left to an operator. `only` restricts it to these ids.
        """

    def cancel(
        self,
        tenant: str | None,
        batch_id: str,
        *,
        now: datetime,
        reason: OutboundReason = OutboundReason.CANCELLED,
        facts: Mapping[str, Any] = MappingProxyType({}),
    ) -> Cancelled | None:
        """Withhold all messages that were not sent, held ones included; None if the tenant has no such batch."""

    def reschedule(self, tenant: str | None, batch_id: str, send_at: datetime, *, now: datetime) -> int | None:
        """Move waiting messages to `send_at` and return how many; None if the tenant has no such batch.

        A message that waits for its recipient's server is not sent before the next try of its own schedule.

        Raises:
            Conflict: the batch is held; it must be resumed or cancelled first.
        """
