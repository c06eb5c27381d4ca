"""JSON responses for batches, messages and activities, for the HTTP service and the command line.

Stable: fields are added, never renamed or removed.
"""

from datetime import datetime
from typing import Any

from pydantic import Field, field_validator

from mailroom.domain.outbound.advice import explain
from mailroom.domain.outbound.message import Lane, ResendPolicy, Status
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.outbound.json_model import JsonModel
from mailroom.ports.holds import HoldReason
from mailroom.ports.message_reader import BatchLine, MessageLine
from mailroom.ports.pauses import Pause


class TrackingResponse(JsonModel):
    """Which engagement is tracked."""

    opens: bool
    clicks: bool


class PauseResponse(JsonModel):
    """Why a batch waits for its provider: the account, or with `sender_domain` the sender at it, is paused."""

    until: datetime = Field(description="When one message is tried; the others follow if it is accepted")
    since: datetime
    provider: str
    sender_domain: str | None = Field(description="The paused sender; null: the whole account")
    reason: str = Field(description="By the words of docs/reasons.md")
    why: str
    what_to_do: str
    code: str = Field(description="The provider's own code")


class BatchResponse(JsonModel):
    """The current state of a batch."""

    id: str
    tenant: str
    from_: str = Field(serialization_alias="from")
    lane: Lane
    stream: str = Field(description="What a recipient leaves by unsubscribing from one of these messages")
    policy: ResendPolicy
    metadata: dict[str, str]
    tracking: TrackingResponse
    messages: int
    statuses: dict[Status, int]
    created_at: datetime
    send_at: datetime | None
    expires_at: datetime | None
    cancelled_at: datetime | None
    held: dict[HoldReason, int] = Field(
        description="Number of held messages by reason; they are not sent until the batch is resumed or cancelled"
    )
    deferred: int = Field(
        default=0, description="Number of messages that their recipients' servers do not take now; each is tried again"
    )
    deferred_until: datetime | None = Field(
        default=None, description="When the next of these is tried again; null if the batch expires before"
    )
    engagement: dict[str, int] = Field(
        default_factory=dict,
        description="How many messages were opened, clicked and unsubscribed by, at least once and by no machine; a clicked one"
        " was opened too, whatever its status is now",
    )
    paused: PauseResponse | None = Field(
        default=None, description="Why its messages wait for the provider; null: they do not"
    )
    next_at: datetime | None = Field(description="When the next waiting message is due")
    done_at: datetime | None = Field(description="Earliest time at which the last waiting message is sent")


class MessageResponse(JsonModel):
    """The current state of a message."""

    id: str
    batch_id: str
    number: int
    tenant: str
    to: str
    name: str
    reference: str
    subject: str
    metadata: dict[str, str]
    status: Status
    reason: str | None = Field(description="The word of up to 0.1.0, for one release; `reason_code` is the stable one")
    reason_code: str | None = Field(default=None, description="Why it is as it is, by the words of docs/reasons.md")
    why: str | None = Field(default=None, description="The same as a sentence")
    what_to_do: str | None = None
    attempts: int
    provider: str | None
    provider_message_id: str | None
    created_at: datetime
    changed_at: datetime
    due_at: datetime
    handed_at: datetime | None


class ActivityResponse(JsonModel):
    """One entry of a message's history."""

    at: datetime
    kind: str
    actor: str | None
    provider: str | None
    facts: dict[str, Any]

    @field_validator("facts")
    @classmethod
    def _both_words(cls, facts: dict[str, Any]) -> dict[str, Any]:
        return OutboundReason.both_words(facts)


def batch_response(line: BatchLine, done_at: datetime | None = None) -> BatchResponse:
    """Return the current state of a batch."""
    apart = ("from_", "tracking", "done_at", "paused")
    values = {name: getattr(line, name) for name in BatchResponse.model_fields if name not in apart}
    tracking = TrackingResponse(opens=line.tracking.opens, clicks=line.tracking.clicks)
    paused = pause_response(line.paused) if line.paused else None
    return BatchResponse(**values, from_=line.from_.address, tracking=tracking, done_at=done_at, paused=paused)


def pause_response(pause: Pause) -> PauseResponse:
    """Return a pause without the account's identity, which is the installation's."""
    return PauseResponse(
        until=pause.until,
        since=pause.since,
        provider=pause.provider,
        sender_domain=pause.sender_domain,
        reason=pause.reason.value,
        why=pause.reason.sentence,
        what_to_do=pause.reason.remedy,
        code=pause.code,
    )


def explain_line(line: MessageLine) -> dict[str, str | None]:
    """Return the reason of a message's status with the names that its sentences need."""
    return explain(line.reason, message_id=line.id, batch_id=line.batch_id, sender=line.sender)


def message_response(line: MessageLine) -> MessageResponse:
    """Return the current state of a message."""
    why = {"reason": OutboundReason.old_word(line.reason), **explain_line(line)}
    apart = {"to", "name", *why}
    values: dict[str, Any] = {name: getattr(line, name) for name in MessageResponse.model_fields if name not in apart}
    return MessageResponse(**(values | why), to=line.to.address, name=line.to.name)
