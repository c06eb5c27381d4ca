"""Tracked links and pixels: the event is recorded, and the reader is redirected.

A link leads only to the URL in its signed token; an unsigned token gets the same 404 in all cases, without a lookup. The
reader is redirected whether or not the event could be recorded (`mailroom.api.hooks.event_recorder`).
"""

import base64
from datetime import datetime

from fastapi import APIRouter, Request
from starlette.responses import Response

from mailroom.api.links import verified
from mailroom.api.services import AppServices, Services
from mailroom.domain.delivery.engagement import actor_of
from mailroom.domain.delivery.events import OURS, Actor, DeliveryEvent, Kind
from mailroom.domain.delivery.tracked_links import CLICKS, OPENS, Engagement, clicked, opened

router = APIRouter(include_in_schema=False)

_MOST_TOKEN = 2_000
_PIXEL = base64.b64decode("R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
#: Headers with which browsers and mail programs mark prefetches.
_AHEAD = ("sec-purpose", "purpose", "x-purpose", "x-moz")


@router.api_route(CLICKS + "{token}", methods=["GET", "HEAD"])
def follow(request: Request, services: AppServices, token: str) -> Response:
    """Redirect to the target of a tracked link."""
    look = verified(clicked, services, token, longest=_MOST_TOKEN)
    _note(services, request, Kind.CLICKED, look, f"click-{look.message_id}-{look.link}", {"link": str(look.link)})
    return Response(status_code=302, headers={"Location": look.target})


@router.api_route(OPENS + "{token}.gif", methods=["GET", "HEAD"])
def show_pixel(request: Request, services: AppServices, token: str) -> Response:
    """Return a transparent pixel, and record an open."""
    look = verified(opened, services, token, longest=_MOST_TOKEN)
    _note(services, request, Kind.OPENED, look, f"open-{look.message_id}", {})
    return Response(_PIXEL, media_type="image/gif", headers={"Cross-Origin-Resource-Policy": "cross-origin"})


def _note(services: Services, request: Request, kind: Kind, look: Engagement, what: str, facts: dict[str, str]) -> None:
    if services.event_recorder is None:
        return
    now = services.now()
    actor = _actor(request, look, now)
    # A repeat within the hour is the same open: otherwise a client with the mail could create any number of rows.
    event_id = f"{what}-{actor}-{now:%Y%m%d%H}"
    services.event_recorder.record(
        DeliveryEvent(
            provider=OURS, event_id=event_id, kind=kind, at=now, message_id=look.message_id, actor=actor, facts=facts
        )
    )


def _actor(request: Request, look: Engagement, now: datetime) -> Actor:
    ahead = any(word in request.headers.get(name, "").lower() for name in _AHEAD for word in ("prefetch", "preview"))
    if request.method == "HEAD" or ahead:
        return Actor.MACHINE
    return actor_of(request.headers.get("user-agent"), after=now - look.made_at)
