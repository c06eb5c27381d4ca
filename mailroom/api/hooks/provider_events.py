"""Providers' event webhooks: verified, stored, then answered; the worker handles them afterwards.

    size ─> credentials ─> readable ─> stored ─> 204

A call that is not verified as the provider's is not stored. URLs in a call are never requested.
"""

import hashlib
import logging
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.responses import Response

from mailroom.api.hooks.hook_receiver import HookReceiver
from mailroom.api.services import AppServices
from mailroom.delivery.provider_events import ses, sns
from mailroom.delivery.provider_events.calls import Call, Reader, WithoutCredentials
from mailroom.delivery.provider_events.fields import Unreadable
from mailroom.delivery.provider_events.registered import HOOKS, READERS
from mailroom.ports.hooks import Hook

log = logging.getLogger(__name__)

router = APIRouter(prefix="/hooks", tags=["hooks"], include_in_schema=False)

_KEPT = 204
_BASIC = {"WWW-Authenticate": 'Basic realm="hooks"'}


def hook_receiver_of(services: AppServices) -> HookReceiver:
    """Return the receiver of providers' calls.

    Raises:
        HTTPException: 404, this installation receives none.
    """
    if services.hook_receiver is None:
        raise HTTPException(404, "This installation takes no webhooks.")
    return services.hook_receiver


async def whole_body(request: Request) -> bytes:
    """Return the body; its size limit is in `mailroom.api.bodies`."""
    return await request.body()


Receiver = Annotated[HookReceiver, Depends(hook_receiver_of)]
Body = Annotated[bytes, Depends(whole_body)]


@router.post("/ses", status_code=_KEPT)
def receive_ses(services: AppServices, hook_receiver: Receiver, body: Body) -> Response:
    """A post of one of our SNS topics: an event of SES, or the topic's question whether it may post here."""
    try:
        message = hook_receiver.ses.read(body, now=services.now())
    except sns.Unverified as error:
        raise _not_believed(403, "ses", error) from None
    if isinstance(message, sns.Subscription):
        hook_receiver.topics.confirm(message.topic_arn, message.token)
        log.info("confirmed the subscription to topic %s", message.topic_arn)
    if not isinstance(message, sns.Notification):
        return Response(status_code=_KEPT)
    values = message.message.encode()
    facts = {"tenant": hook_receiver.ses_tenants.get(message.topic_arn)}
    return _keep(services, hook_receiver, Hook(ses.PROVIDER, message.message_id, values, facts), ses.read)


def _provider_route(provider: str) -> Callable[..., Response]:
    """Return the route of a provider whose calls have a verifier."""

    def hear(request: Request, services: AppServices, hook_receiver: Receiver, body: Body) -> Response:
        headers = {name: request.headers.getlist(name) for name in request.headers}
        verifier = hook_receiver.verifiers[provider]
        try:
            tenant = verifier.verify(Call(headers, body, services.now()))
        except WithoutCredentials:
            raise HTTPException(401, "This call needs its credentials, once.", _BASIC) from None
        except sns.Unverified as error:
            raise _not_believed(verifier.status, provider, error) from None
        return _keep(services, hook_receiver, _hook(provider, body, tenant), READERS[provider])

    return hear


for _provider in HOOKS:
    router.add_api_route(
        f"/{_provider}", _provider_route(_provider), methods=["POST"], status_code=_KEPT, name=f"hear_{_provider}"
    )


def _keep(services: AppServices, hook_receiver: HookReceiver, hook: Hook, read: Reader) -> Response:
    now = services.now()
    try:
        read(hook.body, received_at=now)
    except Unreadable as error:
        log.error("a verified call of %s cannot be used: %s", hook.source, error)
        raise HTTPException(422, "This call is not what its provider documents.") from None
    hook_receiver.hooks.store([hook], now=now)
    return Response(status_code=_KEPT)


def _hook(source: str, body: bytes, tenant: str | None) -> Hook:
    """Return the call, identified by its content: providers repeat a call byte for byte, without an id."""
    return Hook(source, hashlib.sha256((tenant or "").encode() + b"\x00" + body).hexdigest(), body, {"tenant": tenant})


def _not_believed(status: int, source: str, error: sns.Unverified) -> HTTPException:
    log.warning("a call to the hook of %s was refused: %s", source, error)
    headers = _BASIC if status == 401 else None
    return HTTPException(status, "This call is not proven to be its provider's.", headers)
