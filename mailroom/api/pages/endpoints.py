"""The pages of webhooks: tenants' endpoints for message events, pending events, and each POST with its response.

Their buttons send events again, or enable a disabled webhook.
"""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mailroom.api.auth import PageHolder, from_this_site
from mailroom.api.pages.rendering import render
from mailroom.api.services import AppServices
from mailroom.api.v1.endpoints import Registered
from mailroom.ports.api_keys import Holder
from mailroom.ports.endpoints import Endpoint, Endpoints

router = APIRouter(prefix="/webhooks", include_in_schema=False, default_response_class=HTMLResponse)

_LINES = 100

#: The ranges of the replay buttons, in hours.
AGAIN = {1: "1 hour", 24: "1 day", 168: "1 week"}


@router.get("")
def webhooks(services: AppServices, holder: PageHolder, kept: Registered) -> Response:
    """All of them."""
    endpoints, targets = kept.all(holder.tenant), services.settings.webhook_targets
    return render("webhooks.html", endpoints=endpoints, fault_of=targets.url_fault)


@router.get("/{webhook_id}")
def webhook(
    services: AppServices,
    holder: PageHolder,
    kept: Registered,
    webhook_id: str,
    replayed: Annotated[int | None, Query(ge=0)] = None,
) -> Response:
    """Show one webhook and its log; `replayed` is the number of events that a button sends again."""
    endpoint = kept.find(holder.tenant, webhook_id)
    attempts = kept.attempts(holder.tenant, webhook_id, limit=_LINES)
    if endpoint is None or attempts is None:
        raise HTTPException(404, "Webhook not found.")
    more: dict[str, Any] = {
        "again": AGAIN,
        "replayed": replayed,
        "fault": services.settings.webhook_targets.url_fault(endpoint.url),
    }
    return render("webhook.html", endpoint=endpoint, attempts=attempts, **more)


@router.post("/{webhook_id}/replay")
def replay(
    request: Request,
    services: AppServices,
    holder: PageHolder,
    kept: Registered,
    webhook_id: str,
    hours: Annotated[int, Query(ge=1, le=max(AGAIN))],
) -> Response:
    """Send the events of the last hours again, delivered or not."""
    endpoint, now = _pressed(request, holder, kept, webhook_id), services.now()
    count = kept.replay(holder.tenant, endpoint.id, since=now - timedelta(hours=hours), until=now)
    return RedirectResponse(f"/webhooks/{endpoint.id}?replayed={count or 0}", 303)


@router.post("/{webhook_id}/enable")
def enable(request: Request, services: AppServices, holder: PageHolder, kept: Registered, webhook_id: str) -> Response:
    """Enable a webhook: its waiting events are posted at once."""
    endpoint = _pressed(request, holder, kept, webhook_id)
    kept.enable(holder.tenant, endpoint.id, now=services.now())
    return RedirectResponse(f"/webhooks/{endpoint.id}", 303)


def _pressed(request: Request, holder: Holder, kept: Endpoints, webhook_id: str) -> Endpoint:
    """Return the webhook whose button was pressed; refuses forms from other sites."""
    endpoint = kept.find(holder.tenant, webhook_id)
    if endpoint is None:
        raise HTTPException(404, "Webhook not found.")
    from_this_site(request)
    return endpoint
