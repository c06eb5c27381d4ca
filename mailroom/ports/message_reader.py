"""Read access to outbound mail (batches, messages, activities) for the HTTP API, the pages and the command line.

Tenants, pages and errors are as in `mailroom.ports.inbox_reader`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

from mailroom.domain.delivery.events import Kind
from mailroom.domain.outbound.message import UNTRACKED, Batch, Content, Draft, Party, Status, Tracked
from mailroom.ports.holds import HoldReason
from mailroom.ports.inbox_reader import Page, Position
from mailroom.ports.pauses import Pause


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLine:
    """A batch's current state: number of messages by status, and when the next waiting one may be sent.

    Of the waiting ones, `deferred` wait for their recipients' servers; the next of these is tried at `deferred_until`, None if
    the batch expires before.
    """

    id: str
    tenant: str
    from_: Party
    lane: str
    policy: str
    metadata: Mapping[str, str]
    messages: int
    statuses: Mapping[Status, int]
    created_at: datetime
    send_at: datetime | None
    expires_at: datetime | None
    cancelled_at: datetime | None
    next_at: datetime | None
    tracking: Tracked = UNTRACKED
    stream: str = ""
    deferred: int = 0
    deferred_until: datetime | None = None
    #: How many messages are held, by reason.
    held: Mapping[HoldReason, int] = field(default_factory=lambda: MappingProxyType({}))
    #: The pause of the provider, or of the sender at it, that its waiting messages wait for.
    paused: Pause | None = None
    #: How many messages were opened, clicked and unsubscribed by, by kind: each counts for all that happened to it.
    engagement: Mapping[Kind, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFilter:
    """What messages of a list must have. Times are of their submission, `since` included and `until` not.

    `metadata` are words `NAME=VALUE`, of which a message has them all; `stream` is its batch's.
    """

    reference: str | None = None
    metadata: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    stream: str | None = None


ANY_MESSAGE = MessageFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFilter:
    """What batches of a list must have: a message in one of `statuses` (empty: any), a time of submission, a stream."""

    statuses: Sequence[Status] = ()
    since: datetime | None = None
    until: datetime | None = None
    stream: str | None = None


ANY_BATCH = BatchFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLine:
    """A message's current state. `due_at` is when a waiting one may be sent; `subject` is the rendered one."""

    id: str
    batch_id: str
    number: int
    tenant: str
    to: Party
    recipient: str
    reference: str
    subject: str
    metadata: Mapping[str, str]
    status: Status
    reason: str | None
    attempts: int
    provider: str | None
    provider_message_id: str | None
    created_at: datetime
    changed_at: datetime
    due_at: datetime
    handed_at: datetime | None
    #: The address it is from; empty where the batch's row has none.
    sender: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """A message with all that renders it. `handed_at` is when it was sent, None before; `sent_sha256` the digest taken then."""

    batch: Batch
    draft: Draft
    content: Content
    status: Status
    handed_at: datetime | None
    sent_sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityLine:
    """One entry of a message's history."""

    at: datetime
    kind: str
    actor: str | None
    provider: str | None
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedLine:
    """A delivery event whose message is not known (yet): its provider and subject, and when it is matched again."""

    id: int
    provider: str
    event_id: str
    kind: str
    provider_message_id: str | None
    message_id: str | None
    parked_at: datetime
    next_at: datetime
    tries: int


class MessageReader(Protocol):
    """Reads batches, messages, activities and parked events."""

    def batches(
        self, tenant: str | None, *, after: Position | None, limit: int, wanted: BatchFilter = ANY_BATCH
    ) -> Page[BatchLine]:
        """Return batches, newest first. With statuses, a page may have fewer lines than there are, and still a next one."""

    def batch(self, tenant: str | None, batch_id: str) -> BatchLine | None:
        """Return one batch; None for an unknown id, another tenant's, or a malformed id."""

    def messages(
        self,
        tenant: str | None,
        *,
        recipient: str | None,
        batch_id: str | None,
        statuses: Sequence[Status],
        after: Position | None,
        limit: int,
        wanted: MessageFilter = ANY_MESSAGE,
    ) -> Page[MessageLine]:
        """Return messages, newest first; `recipient` is normalised, empty `statuses` means all."""

    def message(self, tenant: str | None, message_id: str) -> MessageLine | None:
        """Return one message; None as for `batch`."""

    def activities(self, tenant: str | None, message_id: str) -> list[ActivityLine] | None:
        """Return the history of one message, oldest first; None as for `batch`."""

    def content(self, tenant: str | None, message_id: str) -> Content | None:
        """Return the content of one message, a template unrendered; None as for `batch`."""

    def stored(self, tenant: str | None, message_id: str) -> StoredMessage | None:
        """Return one message with all that renders it; None as for `batch`."""

    def read_file(self, tenant: str, sha256: str) -> bytes:
        """Return the bytes of an attachment that was submitted with a batch of this tenant.

        Raises:
            LookupError: it is not stored here.
        """

    def by_provider_id(self, tenant: str | None, provider_message_id: str, *, limit: int) -> list[MessageLine]:
        """Return the messages with this provider id; some providers give all mails of one call the same id."""

    def parked(self, *, before: int | None, limit: int) -> list[ParkedLine]:
        """Return unmatched parked events, newest first, with ids below `before`.

        For administrators only: their tenant is not known.
        """
