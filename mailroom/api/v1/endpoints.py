"""The JSON routes of webhooks: tenants' endpoints for message events, their attempts, and replay."""

import secrets
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Depends, HTTPException, Query
from pydantic import BaseModel, Field, model_validator

from mailroom.api.access import tenant_for
from mailroom.api.auth import ApiHolder
from mailroom.api.problems import PROBLEM
from mailroom.api.services import AppServices
from mailroom.api.v1.inbound import Tenant
from mailroom.api.v1.known_query import KnownQuery
from mailroom.api.v1.outbound import sender_tenant
from mailroom.domain.delivery.post_faults import PostFault
from mailroom.domain.delivery.tenant_webhooks import KINDS, USUAL, Disabled
from mailroom.domain.delivery.webhook_targets import WebhookTargets
from mailroom.outbound.json_model import JsonModel
from mailroom.outbound.json_time import Time
from mailroom.ports.endpoints import Attempt, Endpoint, Endpoints

router = APIRouter(prefix="/v1/webhooks", tags=["outbound"], responses=PROBLEM, route_class=KnownQuery)

#: The most endpoints of a tenant; each adds a row for each activity.
_MOST = 20
_LONGEST_REPLAY = timedelta(days=31)


def endpoints_of(services: AppServices) -> Endpoints:
    """Return the endpoints. Routes depend on it after the holder, so a client without a key learns nothing.

    Raises:
        HTTPException: 404, this installation has no webhooks.
    """
    if services.endpoints is None:
        raise HTTPException(404, "Sending is not enabled on this installation.")
    return services.endpoints


Registered = Annotated[Endpoints, Depends(endpoints_of)]


class NewEndpoint(BaseModel, extra="forbid"):
    """A new webhook: its URL and events."""

    url: Annotated[str, Field(max_length=2_000)]
    events: Annotated[list[str], Field(max_length=100)] = Field(
        default_factory=list,
        description="Event names such as `delivered`, `bounced_hard`; by default all except those of steps before "
        "sending",
    )

    @model_validator(mode="after")
    def _known(self) -> "NewEndpoint":
        if not set(self.events) <= KINDS:
            raise ValueError("unknown event name")
        return self


class ReplayRequest(BaseModel, extra="forbid"):
    """The time range whose events are sent again."""

    since: Time
    until: Time | None = None


class EndpointResponse(JsonModel):
    """A webhook and its state."""

    id: str
    tenant: str
    url: str
    events: list[str]
    created_at: datetime
    waiting: int = Field(description="Events not yet sent")
    failing_since: datetime | None
    next_at: datetime | None = Field(description="When the next attempt is made, after a failure")
    disabled_at: datetime | None
    reason: str | None = Field(description="Why the webhook is disabled")
    why: str | None = Field(default=None, description="The same as a sentence")
    what_to_do: str | None = None
    fault: str | None = Field(description="Why this installation does not post to the URL, and what to do")


class NewEndpointResponse(EndpointResponse):
    """The new webhook with its signing secret, which is returned only here."""

    secret: str


class EndpointsResponse(BaseModel):
    """All webhooks, oldest first."""

    items: list[EndpointResponse]


class AttemptResponse(JsonModel):
    """One delivery attempt: a POST to the URL."""

    at: datetime
    news: int = Field(serialization_alias="events")
    first: int = Field(description="Sequence number of the first event")
    last: int
    status: int | None
    fault: str | None = Field(description="The word of up to 0.1.0, for one release; `fault_code` is the stable one")
    fault_code: str | None = Field(default=None, description="Why it was not taken, by the words of docs/reasons.md")
    why: str | None = Field(default=None, description="The same as a sentence")
    what_to_do: str | None = None


class AttemptsResponse(BaseModel):
    """The latest delivery attempts, newest first."""

    items: list[AttemptResponse]


class ReplayedResponse(BaseModel):
    """How many events are sent again."""

    events: int


@router.post("", status_code=201)
def add_webhook(
    services: AppServices, holder: ApiHolder, kept: Registered, new: NewEndpoint, tenant: Tenant = None
) -> NewEndpointResponse:
    """Add a webhook. Only this response has its secret."""
    owner = sender_tenant(holder, tenant)
    targets = services.settings.webhook_targets
    if fault := targets.url_fault(new.url):
        raise HTTPException(422, fault.sentence)
    if len(kept.all(owner)) >= _MOST:
        raise HTTPException(409, f"A tenant has at most {_MOST} webhooks.")
    endpoint = Endpoint(
        id=str(uuid4()),
        tenant=owner,
        url=new.url,
        secret=secrets.token_urlsafe(32),
        kinds=tuple(sorted(new.events or USUAL)),
        created_at=services.now(),
    )
    kept.add(endpoint)
    return NewEndpointResponse(**endpoint_response(endpoint, targets).model_dump(), secret=endpoint.secret)


@router.get("")
def list_webhooks(
    services: AppServices, holder: ApiHolder, kept: Registered, tenant: Tenant = None
) -> EndpointsResponse:
    """List the webhooks and their states."""
    targets = services.settings.webhook_targets
    return EndpointsResponse(items=[endpoint_response(one, targets) for one in kept.all(tenant_for(holder, tenant))])


@router.get("/{webhook_id}")
def show_webhook(services: AppServices, holder: ApiHolder, kept: Registered, webhook_id: str) -> EndpointResponse:
    """Return one webhook."""
    endpoint = kept.find(holder.tenant, webhook_id)
    if endpoint is None:
        raise _unknown()
    return endpoint_response(endpoint, services.settings.webhook_targets)


@router.delete("/{webhook_id}", status_code=204)
def remove_webhook(holder: ApiHolder, kept: Registered, webhook_id: str) -> None:
    """Remove a webhook and its pending events."""
    if not kept.remove(holder.tenant, webhook_id):
        raise _unknown()


@router.post("/{webhook_id}/enable")
def enable_webhook(services: AppServices, holder: ApiHolder, kept: Registered, webhook_id: str) -> EndpointResponse:
    """Enable a webhook again; pending events are sent first."""
    if not kept.enable(holder.tenant, webhook_id, now=services.now()):
        raise _unknown()
    return show_webhook(services, holder, kept, webhook_id)


@router.post("/{webhook_id}/replay")
def replay_webhook(
    services: AppServices, holder: ApiHolder, kept: Registered, webhook_id: str, again: ReplayRequest
) -> ReplayedResponse:
    """Send the events of a time range again, delivered or not, with their original ids and sequence numbers."""
    until = again.until or services.now()
    if not timedelta(0) < until - again.since <= _LONGEST_REPLAY:
        raise HTTPException(422, f"A replay covers at most {_LONGEST_REPLAY.days} days; choose a shorter time range.")
    count = kept.replay(holder.tenant, webhook_id, since=again.since, until=until)
    if count is None:
        raise _unknown()
    return ReplayedResponse(events=count)


@router.get("/{webhook_id}/attempts")
def list_attempts(
    holder: ApiHolder, kept: Registered, webhook_id: str, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> AttemptsResponse:
    """List the latest delivery attempts and their responses."""
    attempts = kept.attempts(holder.tenant, webhook_id, limit=limit)
    if attempts is None:
        raise _unknown()
    return AttemptsResponse(items=[attempt_answer(one) for one in attempts])


def attempt_answer(attempt: Attempt) -> AttemptResponse:
    """Return one POST, with its fault in both spellings: the stable word and the one before it."""
    return AttemptResponse.model_validate(attempt).model_copy(update=PostFault.of_attempt(attempt.fault))


def endpoint_response(endpoint: Endpoint, targets: WebhookTargets) -> EndpointResponse:
    """Return an endpoint without its secret."""
    why = Disabled.advise(endpoint.reason)
    apart = {"events", "fault", *why}
    values: dict[str, Any] = {
        name: getattr(endpoint, name) for name in EndpointResponse.model_fields if name not in apart
    }
    values |= why
    failing = endpoint.failing_since is not None and endpoint.disabled_at is None
    values["next_at"] = endpoint.next_at if failing else None
    fault = targets.url_fault(endpoint.url)
    return EndpointResponse(**values, events=list(endpoint.kinds), fault=fault.sentence if fault else None)


def _unknown() -> HTTPException:
    return HTTPException(404, "Webhook not found.")
