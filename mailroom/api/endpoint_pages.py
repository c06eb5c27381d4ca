"""The pages of webhooks: who is told what became of messages, what waits, and each POST with its answer."""

from fastapi import APIRouter, HTTPException
from starlette.responses import HTMLResponse, Response

from mailroom.api.access import PageHolder
from mailroom.api.endpoints import Kept
from mailroom.api.rendering import render

router = APIRouter(prefix="/webhooks", include_in_schema=False, default_response_class=HTMLResponse)

_LINES = 100


@router.get("")
def webhooks(holder: PageHolder, kept: Kept) -> Response:
    """All of them."""
    return render("webhooks.html", holder=holder, endpoints=kept.all(holder.tenant))


@router.get("/{webhook_id}")
def webhook(holder: PageHolder, kept: Kept, webhook_id: str) -> Response:
    """One, and its log."""
    endpoint = kept.find(holder.tenant, webhook_id)
    attempts = kept.attempts(holder.tenant, webhook_id, limit=_LINES)
    if endpoint is None or attempts is None:
        raise HTTPException(404, "There is no such webhook.")
    return render("webhook.html", holder=holder, endpoint=endpoint, attempts=attempts)
