"""What callers submit, kept with the word that it is there.

Outbox, dispatch and events work on one SQL database. Their promises together are "never twice, never lost":
a batch is kept with its outbox row in one transaction; a message goes to `sending` in a commit before the provider is
called; what the provider answered is settled after. Every call may raise `TransientError`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

from mailroom.domain.outbound.message import Batch, Content, Draft, Lane, Status
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.ports.holds import Holds


@dataclass(frozen=True, slots=True)
class SubmissionKey:
    """A caller's idempotency key with the digest of what it came with (lower-case hex)."""

    value: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxOrder:
    """The word for the mailbox queue that a batch has something to send from `due_at` on."""

    id: int
    batch_id: str
    due_at: datetime
    lane: Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What the first request with this key was answered; `repeated` when this one was not the first."""

    batch_id: str
    messages: int
    duplicates: tuple[int, ...] = ()
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class AlreadySent:
    """A message that a cancel came too late for, and what it had come to."""

    message_id: str
    recipient: str
    status: Status


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What a cancel came to: how many will not go, and exactly which have gone or may have.

    `held` is how many of those that will not go were held: after a restore these may have gone before it.
    """

    cancelled: int
    gone: tuple[AlreadySent, ...]
    held: int = 0


class Outbox(Holds, Protocol):
    """What callers hand over. Messages are kept with the word that they are there, for a relay to carry to the queue."""

    def answered(self, tenant: str, key: SubmissionKey) -> Accepted | None:
        """Return what the first request with this key was answered, or None.

        Raises:
            Conflict: the key came before with another digest.
        """

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
        """Keep a batch with its messages, files (by SHA-256), key and outbox row, all or nothing.

        The same key with the same digest returns what was answered first, and keeps nothing.

        Raises:
            Conflict: the key came before with another digest.
        """

    def accept_each(
        self,
        batch: Batch,
        contents: Collection[Content],
        drafts: Sequence[tuple[SubmissionKey, Draft]],
        *,
        now: datetime,
    ) -> int:
        """Keep those drafts whose own key is new as one batch, and return how many; 0 makes no batch."""

    def take(self, *, most: int, now: datetime, until: datetime) -> list[OutboxOrder]:
        """Return unpublished orders, for nobody else before `until`; one that cannot be used is stepped over for minutes."""

    def published(self, orders: Sequence[OutboxOrder], *, now: datetime) -> None:
        """Note that these are on the mailbox queue: their messages are `queued`, or `scheduled` until their time."""

    def remind(self, *, before: datetime, limit: int, now: datetime, only: Collection[str] | None = None) -> list[str]:
        """Order batches anew that have been due since before `before` and that nobody has worked on since; return their ids.

        Their order was lost from the queue, or their worker died with a run that no order stands for. What a circuit
        breaker stopped waits for a person. With `only` none but these.
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
        """Withhold everything that has not gone, held or not; None for a batch that this tenant has not."""

    def reschedule(self, tenant: str | None, batch_id: str, send_at: datetime, *, now: datetime) -> int | None:
        """Have what waits go at `send_at` instead and return how many that is; None for a batch that this tenant has not.

        Raises:
            Conflict: the batch is held; a person resumes or cancels it first.
        """
