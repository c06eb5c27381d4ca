"""JSON responses of the routes of outbound mail. Stable: fields are added, never renamed or removed."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

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
    """What is wrong and where; `index` is the message's or recipient's number."""

    where: list[str]
    index: int | None
    what: str


class AcceptedResponse(BaseModel):
    """The batch is kept; it goes from here without the caller."""

    id: str
    batch_id: str
    messages: int
    duplicates: list[int] = Field(description="Recipients, by number, that an earlier one repeats; they get one mail")
    url: str


class PeriodResponse(BaseModel):
    """One window of the calendar, in UTC."""

    limit: int | None
    used: int
    left: int | None
    resets_at: datetime


class QuotaResponse(BaseModel):
    """What a tenant may send, and has sent."""

    tenant: str
    hour: PeriodResponse
    day: PeriodResponse
    month: PeriodResponse


class SendersResponse(BaseModel):
    """From where a tenant sends: addresses and `@domain`; none is anything that no other tenant has."""

    tenant: str
    patterns: list[str]


class ProviderRateResponse(BaseModel):
    """What a provider takes; null is no limit that is known. `max_bytes` is one mail on the wire."""

    name: str
    per_second: float | None
    per_day: int | None
    sent_today: int
    paused: bool
    max_bytes: int
    told_at: datetime


class PreviewResponse(BaseModel):
    """What would come of the batch; nothing was kept."""

    dry_run: bool = True
    messages: int
    duplicates: list[int]
    suppressed: list[int]
    invalid: list[FaultResponse]
    size: int
    quota_cost: int
    quota: QuotaResponse
    starts_at: datetime
    done_at: datetime | None = Field(description="At the earliest, by the quota and the provider; null: nobody knows")
    provider: ProviderRateResponse | None = Field(description="Limits of the provider, if a worker has read them today")


class AlreadySentResponse(JsonModel):
    """A message that has gone, or may have."""

    id: str
    to: str
    status: Status


class CancelledResponse(BaseModel):
    """What the cancel came to: exactly what has gone."""

    id: str
    cancelled: int
    held: int = Field(
        default=0,
        description="Where some of the cancelled were held: how many; after a restore these may have gone before",
    )
    gone: list[AlreadySentResponse]


class ResumedResponse(BaseModel):
    """How many messages were held and go on now, each at its time."""

    id: str
    resumed: int


class RescheduledResponse(BaseModel):
    """How many messages wait for the new time."""

    id: str
    send_at: datetime
    messages: int


class MessagesResponse(BaseModel):
    """A page of messages; `next` goes into `cursor` for the page after it."""

    items: list[MessageResponse]
    next: str | None


class ActivitiesResponse(BaseModel):
    """What happened to a message, in order."""

    items: list[ActivityResponse]


class SuppressionResponse(JsonModel):
    """An address that gets no mail; `tenant` null is from nobody here."""

    address: str
    reason: str
    why: str | None = Field(default=None, description="The same as a sentence")
    what_to_do: str | None = None
    tenant: str | None
    since: datetime
    expires_at: datetime | None
    message_id: str | None


def suppression_answer(one: Suppression) -> SuppressionResponse:
    """Return a suppression with its cause as a sentence and what to do."""
    return SuppressionResponse.model_validate(one).model_copy(update=Cause.advise(one.reason))


class SuppressionsResponse(BaseModel):
    """A page of suppressions by address."""

    items: list[SuppressionResponse]
    next: str | None


class SuppressedResponse(BaseModel):
    """How many addresses were not on the list before."""

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
            "what": fault.what,
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
