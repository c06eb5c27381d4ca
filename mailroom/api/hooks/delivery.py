"""What providers post to us: verified, kept, answered; handled afterwards by the worker.

    size ─> credentials ─> readable ─> stored ─> 204

Nothing is kept of a call that is not proven to be the provider's. No address that stands in a call is ever called.
"""

import hashlib
import logging
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.responses import Response

from mailroom.api.hooks.hearing import Hearing
from mailroom.api.services import Outside
from mailroom.delivery.webhooks import postmark, sendgrid, ses, sns
from mailroom.delivery.webhooks.reading import Unreadable
from mailroom.domain.delivery.events import DeliveryEvent
from mailroom.ports.hooks import Hook

log = logging.getLogger(__name__)

router = APIRouter(prefix="/hooks", tags=["hooks"], include_in_schema=False)

_KEPT = 204


def hearing_of(services: Outside) -> Hearing:
    """Return what hears providers.

    Raises:
        HTTPException: 404, this installation hears none.
    """
    if services.hearing is None:
        raise HTTPException(404, "Webhooks of providers are not enabled on this installation.")
    return services.hearing


async def whole_body(request: Request) -> bytes:
    """Return the body, which has its limit (`mailroom.api.bodies`)."""
    return await request.body()


Heard = Annotated[Hearing, Depends(hearing_of)]
Body = Annotated[bytes, Depends(whole_body)]


@router.post("/ses", status_code=_KEPT)
def hear_ses(services: Outside, hearing: Heard, body: Body) -> Response:
    """Receive a message of an SNS topic: SES events, or a subscription to confirm."""
    try:
        message = hearing.ses.read(body, now=services.now())
    except sns.Unverified as error:
        raise _not_believed(403, "ses", error) from None
    if isinstance(message, sns.Subscription):
        hearing.topics.confirm(message.topic_arn, message.token)
        log.info("confirmed the subscription to topic %s", message.topic_arn)
    if not isinstance(message, sns.Notification):
        return Response(status_code=_KEPT)
    told = message.message.encode()
    facts = {"tenant": hearing.ses_tenants.get(message.topic_arn)}
    return _keep(services, hearing, Hook(ses.PROVIDER, message.message_id, told, facts), ses.read)


@router.post("/sendgrid", status_code=_KEPT)
def hear_sendgrid(request: Request, services: Outside, hearing: Heard, body: Body) -> Response:
    """Receive SendGrid's signed Event Webhook."""
    signature, timestamp = (_one(request, name) for name in (sendgrid.SIGNATURE_HEADER, sendgrid.TIMESTAMP_HEADER))
    try:
        tenant = hearing.sendgrid.check(body, signature=signature, timestamp=timestamp, now=services.now())
    except sns.Unverified as error:
        raise _not_believed(403, "sendgrid", error) from None
    return _keep(services, hearing, _hook(sendgrid.PROVIDER, body, tenant), sendgrid.read)


@router.post("/postmark", status_code=_KEPT)
def hear_postmark(request: Request, services: Outside, hearing: Heard, body: Body) -> Response:
    """Receive Postmark's webhooks, with user name and password."""
    try:
        tenant = hearing.postmark.check(_one(request, "authorization"))
    except sns.Unverified as error:
        raise _not_believed(401, "postmark", error) from None
    return _keep(services, hearing, _hook(postmark.PROVIDER, body, tenant), postmark.read)


def _keep(services: Outside, hearing: Hearing, hook: Hook, read: Callable[..., list[DeliveryEvent]]) -> Response:
    now = services.now()
    try:
        read(hook.body, received_at=now)
    except Unreadable as error:
        log.error("an authenticated webhook call of %s cannot be read: %s", hook.source, error)
        raise HTTPException(422, "The body does not have the format that the provider documents.") from None
    hearing.hooks.store([hook], now=now)
    return Response(status_code=_KEPT)


def _hook(source: str, body: bytes, tenant: str | None) -> Hook:
    """Return the call by what it says: providers repeat a call byte by byte, and give it no id."""
    return Hook(source, hashlib.sha256((tenant or "").encode() + b"\x00" + body).hexdigest(), body, {"tenant": tenant})


def _one(request: Request, name: str) -> str:
    """Return a header that is there once; told twice, who checks and who reads may take different ones.

    Raises:
        HTTPException: 401.
    """
    values = request.headers.getlist(name)
    if len(values) != 1 or not values[0]:
        raise HTTPException(
            401, "Credentials are required, in one Authorization header.", {"WWW-Authenticate": 'Basic realm="hooks"'}
        )
    return values[0]


def _not_believed(status: int, source: str, error: sns.Unverified) -> HTTPException:
    log.warning("a webhook call of %s was refused: %s", source, error)
    headers = {"WWW-Authenticate": 'Basic realm="hooks"'} if status == 401 else None
    return HTTPException(
        status, "The call cannot be verified as the provider's; check its signature or credentials.", headers
    )
