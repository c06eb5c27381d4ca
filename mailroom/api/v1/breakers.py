"""The JSON routes and the page of circuit breakers: list them, and close one, which resumes the runs that it stopped."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse, Response

from mailroom.api.access import tenant_for
from mailroom.api.auth import ApiHolder, PageHolder
from mailroom.api.pages.inbox import run_url
from mailroom.api.pages.rendering import render
from mailroom.api.paging import Limit
from mailroom.api.problems import PROBLEM
from mailroom.api.services import AppOutbound, AppServices, Services
from mailroom.api.v1.inbound import Tenant
from mailroom.api.v1.known_query import KnownQuery
from mailroom.ports.api_keys import Holder

router = APIRouter(prefix="/v1", tags=["outbound"], responses=PROBLEM, route_class=KnownQuery)
page_router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

_SHOWN = 50


class BreakerResponse(BaseModel):
    """A circuit breaker that stopped a batch, or with `batch_id` null all sending of a tenant, and its counts."""

    id: str
    tenant: str
    batch_id: str | None
    trip: str = Field(description="bounces, complaints or same_refusal")
    answer: str | None = Field(default=None, description="Of same_refusal: phase, code and status of the answer")
    why: str | None = Field(default=None, description="The same as a sentence")
    what_to_do: str | None = None
    sent: int
    bounced: int
    complained: int
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    runs: list[str] = Field(description="Flow runs that it paused; for administrators, empty with a tenant's key")


class BreakersResponse(BaseModel):
    """Circuit breakers, newest first."""

    items: list[BreakerResponse]


class ClosedResponse(BreakerResponse):
    """The breaker, and how many flow runs were resumed."""

    resumed: int


@router.get("/breakers")
def list_breakers(
    holder: ApiHolder,
    sending: AppOutbound,
    tenant: Tenant = None,
    closed: Annotated[bool, Query(description="Include closed breakers")] = False,
    limit: Limit = 50,
) -> BreakersResponse:
    """List open circuit breakers; what they stop is not sent until an administrator closes them."""
    entries = sending.breakers.all(tenant_for(holder, tenant), only_open=not closed, limit=limit)
    hidden: dict[str, Any] = {} if holder.tenant is None else {"runs": []}
    return BreakersResponse(items=[BreakerResponse.model_validate(one.as_json() | hidden) for one in entries])


@router.post("/breakers/{breaker_id}/close")
def close_breaker(services: AppServices, holder: ApiHolder, sending: AppOutbound, breaker_id: str) -> ClosedResponse:
    """Close a breaker and resume the runs that it paused; for administrators. The call may be repeated."""
    if holder.tenant is not None:
        raise HTTPException(403, "Only an administrator can close a breaker.")
    closed = sending.breakers.close(breaker_id, by=holder.name, now=services.now())
    if closed is None:
        raise HTTPException(404, "Breaker not found.")
    resumed = sum(services.runs.resume(run_id) for run_id in closed.runs)
    return ClosedResponse.model_validate(closed.as_json() | {"resumed": resumed})


@page_router.get("/breakers")
def breakers(services: AppServices, holder: PageHolder, sending: AppOutbound) -> Response:
    """The latest breakers, open ones marked."""
    entries = sending.breakers.all(holder.tenant, only_open=False, limit=_SHOWN)
    lines = [(one, _run_urls(services, holder, one.runs)) for one in entries]
    return render("breakers.html", holder=holder, lines=lines)


def _run_urls(services: Services, holder: Holder, runs: Sequence[str]) -> list[str]:
    return [url for run in runs if (url := run_url(services, holder, run)) is not None]
