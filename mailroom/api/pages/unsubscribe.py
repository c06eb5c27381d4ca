"""The unsubscribe page (RFC 8058). Mail programs post; people see a page with a choice and a button; a GET changes nothing.

Scanners fetch every link of a mail, so a GET never unsubscribes. A second POST is answered as the first.
"""

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mailroom.api.links import verified
from mailroom.api.pages.rendering import render
from mailroom.api.services import AppServices, Services
from mailroom.domain.delivery.events import OURS, Actor, DeliveryEvent, Kind
from mailroom.domain.delivery.streams import SCOPE_FACT, Scope, left_streams
from mailroom.domain.delivery.unsubscribe import verify
from mailroom.domain.errors import MailroomError
from mailroom.ports.unsubscribing import UnsubscribeOffer

router = APIRouter(prefix="/u", include_in_schema=False)

_MOST_TOKEN = 100
#: A form of ours is short; a mail program's has one field (RFC 8058). What is longer is read as no choice.
_MOST_FORM = 1_000
_CHOICES = frozenset({Scope.STREAM, Scope.NOT_TRANSACTIONAL})


async def _chosen(request: Request, services: AppServices, token: str) -> Scope | None:
    """Return the scope that a posted form chose; None where it says nothing of it, as a mail program's.

    Raises:
        HTTPException: 404, the token is not ours; nothing of the body is read then.
    """
    verified(verify, services, token, longest=_MOST_TOKEN)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > _MOST_FORM:
        return None
    body = await request.body()
    form = parse_qs(body.decode("ascii", "replace")) if len(body) <= _MOST_FORM else {}
    return next((scope for scope in _CHOICES if form.get("scope") == [scope]), None)


Chosen = Annotated[Scope | None, Depends(_chosen)]


@router.get("/{token}")
def show_unsubscribe(services: AppServices, token: str) -> Response:
    """A page that names the sender and offers to leave the mail's stream or more."""
    message_id = verified(verify, services, token, longest=_MOST_TOKEN)
    return _page(_offer(services, message_id), done=False)


@router.post("/{token}")
def unsubscribe(services: AppServices, token: str, chosen: Chosen) -> Response:
    """Unsubscribe the recipient: from what the form chose, or else what the tenant's policy says."""
    message_id, events = verified(verify, services, token, longest=_MOST_TOKEN), services.events
    if events is None:
        raise HTTPException(404, "This installation sends no mail.")
    facts = {"by": "one_click"} | ({SCOPE_FACT: chosen.value} if chosen else {})
    left = DeliveryEvent(
        provider=OURS,
        event_id=f"unsubscribe-{message_id}",
        kind=Kind.UNSUBSCRIBED,
        at=services.now(),
        message_id=message_id,
        actor=Actor.UNKNOWN,
        facts=facts,
    )
    events.record([left], now=services.now())
    offer = _offer(services, message_id)
    streams = left_streams(facts, offer.stream, offer.policy) if offer else []
    return _page(offer, done=True, left=any(streams))


def _offer(services: Services, message_id: str) -> UnsubscribeOffer | None:
    """Return what the link offers, or None: without it the page says what it can, and the button works."""
    unsubscribing = services.sending.unsubscribing if services.sending else None
    try:
        return unsubscribing.offer(message_id) if unsubscribing else None
    except MailroomError:
        return None


def _page(offer: UnsubscribeOffer | None, *, done: bool, left: bool = False) -> Response:
    return render("unsubscribe.html", offer=offer, done=done, left=left)
