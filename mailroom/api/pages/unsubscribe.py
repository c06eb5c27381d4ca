"""One-click unsubscribe (RFC 8058): mail programs POST; people get a page with a button. A GET changes nothing.

Scanners fetch every link of a mail, so a GET never unsubscribes. A second POST has the same response as the first.
"""

from fastapi import APIRouter, HTTPException
from starlette.responses import Response

from mailroom.api.links import verified
from mailroom.api.pages.rendering import render
from mailroom.api.services import AppServices
from mailroom.domain.delivery.events import OURS, Actor, DeliveryEvent, Kind
from mailroom.domain.delivery.unsubscribe import verify

router = APIRouter(prefix="/u", include_in_schema=False)

_MOST_TOKEN = 100


@router.get("/{token}")
def show_unsubscribe(services: AppServices, token: str) -> Response:
    """A page with one button."""
    verified(verify, services, token, longest=_MOST_TOKEN)
    return render("unsubscribe.html", done=False)


@router.post("/{token}")
def unsubscribe(services: AppServices, token: str) -> Response:
    """Unsubscribe this recipient from this sender."""
    message_id, events = verified(verify, services, token, longest=_MOST_TOKEN), services.events
    if events is None:
        raise HTTPException(404, "Sending is not enabled on this installation.")
    left = DeliveryEvent(
        provider=OURS,
        event_id=f"unsubscribe-{message_id}",
        kind=Kind.UNSUBSCRIBED,
        at=services.now(),
        message_id=message_id,
        actor=Actor.UNKNOWN,
        facts={"by": "one_click"},
    )
    events.record([left], now=services.now())
    return render("unsubscribe.html", done=True)
