"""What the HTTP API, the pages and the command line read of outbound mail: batches, messages, what happened to each.

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
    """A batch as it stands: how many of its messages are in each status, and when the next that waits may go."""

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
    #: How many messages are held, by reason.
    held: Mapping[HoldReason, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLine:
    """A message as it stands. `due_at` is when it may go, for one that waits; `subject` a template's before it is filled."""

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
    """One fact about a message, as it happened."""

    at: datetime
    kind: str
    actor: str | None
    provider: str | None
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedLine:
    """A delivery event whose message is not known (yet): who told it, of what, and when it is tried again."""

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
    """The reading side of outbound mail."""

    def batches(self, tenant: str | None, *, after: Position | None, limit: int) -> Page[BatchLine]:
        """Return batches, newest first."""

    def batch(self, tenant: str | None, batch_id: str) -> BatchLine | None:
        """Return one batch; None for an unknown id, another tenant's, or what is no id at all."""

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
        """Return messages, newest first; `recipient` is normalised, no statuses means all."""

    def message(self, tenant: str | None, message_id: str) -> MessageLine | None:
        """Return one message; None as for `batch`."""

    def activities(self, tenant: str | None, message_id: str) -> list[ActivityLine] | None:
        """Return what happened to one message, in order; None as for `batch`."""

    def content(self, tenant: str | None, message_id: str) -> Content | None:
        """Return what one message says, a template before it is filled; None as for `batch`."""

    def by_provider_id(self, tenant: str | None, provider_message_id: str, *, limit: int) -> list[MessageLine]:
        """Return the messages that their provider calls so; some providers name all mails of one call alike."""

    def parked(self, *, before: int | None, limit: int) -> list[ParkedLine]:
        """Return parked events that were not matched, newest first, from behind the id `before` on.

        For administrators only: whose they are is not known.
        """
