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
        raise HTTPException(404, "Webhooks of providers are not enabled on this installation.")
    return services.hook_receiver


async def whole_body(request: Request) -> bytes:
    """Return the body; its size limit is in `mailroom.api.bodies`."""
    return await request.body()


Receiver = Annotated[HookReceiver, Depends(hook_receiver_of)]
Body = Annotated[bytes, Depends(whole_body)]


@router.post("/ses", status_code=_KEPT)
def receive_ses(services: AppServices, hook_receiver: Receiver, body: Body) -> Response:
    """Receive a message of an SNS topic: SES events, or a subscription to confirm."""
    try:
        message = hook_receiver.ses.read(body, now=services.now())
    except sns.Unverified as error:
        raise _refusal(403, "ses", error) from None
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

    def receive(request: Request, services: AppServices, hook_receiver: Receiver, body: Body) -> Response:
        headers = {name: request.headers.getlist(name) for name in request.headers}
        verifier = hook_receiver.verifiers[provider]
        try:
            tenant = verifier.verify(Call(headers, body, services.now()))
        except WithoutCredentials:
            raise HTTPException(401, "Credentials or signature are required, each header once.", _BASIC) from None
        except sns.Unverified as error:
            raise _refusal(verifier.status, provider, error) from None
        return _keep(services, hook_receiver, _hook(provider, body, tenant), READERS[provider])

    return receive


for _provider in HOOKS:
    router.add_api_route(
        f"/{_provider}", _provider_route(_provider), methods=["POST"], status_code=_KEPT, name=f"receive_{_provider}"
    )


def _keep(services: AppServices, hook_receiver: HookReceiver, hook: Hook, read: Reader) -> Response:
    now = services.now()
    try:
        read(hook.body, received_at=now)
    except Unreadable as error:
        log.error("an authenticated webhook call of %s cannot be read: %s", hook.source, error)
        raise HTTPException(422, "The body does not have the format that the provider documents.") from None
    hook_receiver.hooks.store([hook], now=now)
    return Response(status_code=_KEPT)


def _hook(source: str, body: bytes, tenant: str | None) -> Hook:
    """Return the call, identified by its content: providers repeat a call byte for byte, without an id."""
    return Hook(source, hashlib.sha256((tenant or "").encode() + b"\x00" + body).hexdigest(), body, {"tenant": tenant})


def _refusal(status: int, source: str, error: sns.Unverified) -> HTTPException:
    log.warning("a webhook call of %s was refused: %s", source, error)
    headers = _BASIC if status == 401 else None
    return HTTPException(
        status, "The call cannot be verified as the provider's; check its signature or credentials.", headers
    )
