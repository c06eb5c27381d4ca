"""Read access to outbound mail (batches, messages, activities) for the HTTP API, the pages and the command line.

Tenants, pages and errors are as in `mailroom.ports.inbox_reader`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

from mailroom.domain.outbound.message import UNTRACKED, Content, Party, Status, Tracked
from mailroom.ports.holds import HoldReason
from mailroom.ports.inbox_reader import Page, Position


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
    deferred: int = 0
    deferred_until: datetime | None = None
    #: How many messages are held, by reason.
    held: Mapping[HoldReason, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLine:
    """A message's current state. `due_at` is when a waiting one may be sent; `subject` is a template's unrendered one."""

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

    def batches(self, tenant: str | None, *, after: Position | None, limit: int) -> Page[BatchLine]:
        """Return batches, newest first."""

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
    ) -> Page[MessageLine]:
        """Return messages, newest first; `recipient` is normalised, empty `statuses` means all."""

    def message(self, tenant: str | None, message_id: str) -> MessageLine | None:
        """Return one message; None as for `batch`."""

    def activities(self, tenant: str | None, message_id: str) -> list[ActivityLine] | None:
        """Return the history of one message, oldest first; None as for `batch`."""

    def content(self, tenant: str | None, message_id: str) -> Content | None:
        """Return the content of one message, a template unrendered; None as for `batch`."""

    def by_provider_id(self, tenant: str | None, provider_message_id: str, *, limit: int) -> list[MessageLine]:
        """Return the messages with this provider id; some providers give all mails of one call the same id."""

    def parked(self, *, before: int | None, limit: int) -> list[ParkedLine]:
        """Return unmatched parked events, newest first, with ids below `before`.

        For administrators only: their tenant is not known.
        """
