"""JSON responses of the routes of outbound mail. Stable: fields are added, never renamed or removed."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from mailroom.domain.delivery.streams import Scope
from mailroom.domain.delivery.suppression import Cause
from mailroom.domain.errors import Fault
from mailroom.domain.outbound.message import Status
from mailroom.domain.outbound.quotas import Allowance, Period, next_start
from mailroom.outbound.batch_json import ActivityResponse, MessageResponse
from mailroom.outbound.json_model import JsonModel
from mailroom.outbound.submission import Preview
from mailroom.ports.suppressions import Suppression
from mailroom.ports.terms import ProviderTerms


class FaultResponse(BaseModel):
    """One error: what is wrong and where; `index` is the number of the message or recipient, from 0."""

    where: list[str]
    index: int | None
    what: str


class AcceptedResponse(BaseModel):
    """The accepted batch; it is sent in the background."""

    id: str
    batch_id: str
    messages: int
    duplicates: list[int] = Field(
        description="Numbers of the recipients that repeat an earlier one; each recipient gets one mail"
    )
    url: str


class PeriodResponse(BaseModel):
    """A calendar period in UTC."""

    limit: int | None
    used: int
    left: int | None
    resets_at: datetime


class QuotaResponse(BaseModel):
    """A tenant's sending quota and its use."""

    tenant: str
    hour: PeriodResponse
    day: PeriodResponse
    month: PeriodResponse


class SendersResponse(BaseModel):
    """Addresses and `@domain` that a tenant may send from; if empty, any that no other tenant has."""

    tenant: str
    patterns: list[str]


class ProviderRateResponse(BaseModel):
    """Limits of a provider; null if unknown. `max_bytes` is the size of one encoded mail."""

    name: str
    per_second: float | None
    per_day: int | None
    sent_today: int
    paused: bool
    max_bytes: int
    told_at: datetime


class PreviewResponse(BaseModel):
    """Preview of a batch; nothing was stored."""

    dry_run: bool = True
    messages: int
    duplicates: list[int]
    suppressed: list[int]
    invalid: list[FaultResponse]
    size: int
    quota_cost: int
    quota: QuotaResponse
    starts_at: datetime
    done_at: datetime | None = Field(
        description="Earliest end of sending, by quota and provider limits; null if unknown"
    )
    provider: ProviderRateResponse | None = Field(description="Limits of the provider, if a worker has read them today")


class AlreadySentResponse(JsonModel):
    """A message that was sent, or may have been."""

    id: str
    to: str
    status: Status


class CancelledResponse(BaseModel):
    """Result of a cancel: the cancelled messages, and those already sent."""

    id: str
    cancelled: int
    held: int = Field(
        default=0,
        description="Number of cancelled messages that were held; after a restore these may already have been sent",
    )
    gone: list[AlreadySentResponse]


class ResumedResponse(BaseModel):
    """Number of held messages that were resumed; each is sent at its time."""

    id: str
    resumed: int


class RescheduledResponse(BaseModel):
    """Number of messages scheduled for the new time."""

    id: str
    send_at: datetime
    messages: int


class MessagesResponse(BaseModel):
    """A page of messages; `next` is the `cursor` of the next page."""

    items: list[MessageResponse]
    next: str | None


class ActivitiesResponse(BaseModel):
    """The events of a message, in order."""

    items: list[ActivityResponse]


class SuppressionResponse(JsonModel):
    """A suppressed address; with `tenant` null for all tenants."""

    address: str
    reason: str
    why: str | None = Field(default=None, description="The same as a sentence")
    what_to_do: str | None = None
    tenant: str | None
    since: datetime
    expires_at: datetime | None
    message_id: str | None
    scope: Scope = Field(
        description="The mail that it covers: all, not_transactional (all but transactional) or stream"
    )
    stream: str | None


def suppression_answer(one: Suppression) -> SuppressionResponse:
    """Return a suppression with its cause as a sentence and what to do."""
    return SuppressionResponse.model_validate(one).model_copy(update=Cause.advise(one.reason))


class SuppressionsResponse(BaseModel):
    """A page of suppressions, ordered by address."""

    items: list[SuppressionResponse]
    next: str | None


class SuppressedResponse(BaseModel):
    """Number of addresses that were not suppressed before."""

    added: int


def fault_responses(faults: Sequence[Fault]) -> list[FaultResponse]:
    """Return the faults, each with its position."""
    return [FaultResponse.model_construct(**values) for values in fault_values(faults)]


def fault_values(faults: Sequence[Fault]) -> list[dict[str, Any]]:
    """Return the faults as JSON: there may be one for each of 100,000 messages, and building models takes long."""
    return [
        {
            "where": [str(part) for part in fault.where],
            "index": next((part for part in fault.where if isinstance(part, int)), None),
            "what": fault.named or fault.what,
        }
        for fault in faults
    ]


def quota_response(tenant: str, allowance: Allowance, used: dict[Period, int], now: datetime) -> QuotaResponse:
    """Return what a tenant may send, and has sent."""

    def of(period: Period) -> PeriodResponse:
        limit, gone = allowance.of(period), used.get(period, 0)
        left = None if limit is None else max(limit - gone, 0)
        return PeriodResponse(limit=limit, used=gone, left=left, resets_at=next_start(period, now))

    return QuotaResponse(tenant=tenant, hour=of(Period.HOUR), day=of(Period.DAY), month=of(Period.MONTH))


def preview_response(tenant: str, seen: Preview, now: datetime) -> PreviewResponse:
    """Return the preview of a batch."""
    return PreviewResponse(
        messages=seen.messages,
        duplicates=list(seen.duplicates),
        suppressed=list(seen.suppressed),
        invalid=fault_responses(seen.faults),
        size=seen.size,
        quota_cost=seen.messages,
        quota=quota_response(tenant, seen.allowance, seen.used, now),
        starts_at=seen.starts_at,
        done_at=seen.done_at,
        provider=None if seen.terms is None else provider_rate_response(seen.terms),
    )


def provider_rate_response(terms: ProviderTerms) -> ProviderRateResponse:
    """Return a provider's limits."""
    return ProviderRateResponse(name=terms.name, max_bytes=terms.max_bytes, told_at=terms.told_at, **asdict(terms.pace))
