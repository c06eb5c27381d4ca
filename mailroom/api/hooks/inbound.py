"""SNS notifications of received e-mail: each is verified before it is parsed, and queued before the response."""

import logging

from fastapi import APIRouter, HTTPException, Response

from mailroom.api.hooks.provider_events import Body
from mailroom.api.problems import PROBLEM
from mailroom.api.services import AppServices, InboundHook
from mailroom.delivery.provider_events.sns import Notification, Subscription, Unverified
from mailroom.domain.inbound.notifications import UnreadableNotification, read_notification

router = APIRouter(prefix="/hooks", tags=["hooks"], responses=PROBLEM)
log = logging.getLogger(__name__)

_SOURCE = "sns-inbound"


@router.post("/inbound", status_code=204, response_class=Response)
def inbound(services: AppServices, body: Body) -> Response:
    """Receive SNS notifications of received e-mail and put them on the queue, where SNS cannot write to it.

    403 unless SNS signed the message for a configured topic; 204 when the notification is on the queue, also if it already
    was. A subscription is confirmed.
    """
    hook = services.inbound_hook
    if hook is None:
        raise HTTPException(404, "This route is disabled; enable it with MAILROOM_INBOUND_HOOK=true.")
    _take(hook, body, services)
    return Response(status_code=204)


def _take(hook: InboundHook, body: bytes, services: AppServices) -> None:
    now = services.now()
    try:
        message = hook.verifier.read(body, now=now)
    except Unverified as error:
        # Which check refused is for the operator's log, not for the client.
        log.warning("a post to /hooks/inbound was refused: %s", error)
        raise HTTPException(403, "Not a message of an allowed SNS topic.") from None
    if isinstance(message, Subscription):
        hook.subscriptions.confirm(message.topic_arn, message.token)
    elif isinstance(message, Notification):
        _check(message)
        hook.once.do(_SOURCE, message.message_id, lambda: hook.queue.post([message.message]), now=now)


def _check(message: Notification) -> None:
    """Return if the queue's listener can read the message; an unreadable one would become a dead letter.

    Raises:
        HTTPException: 422.
    """
    try:
        read_notification(message.message)
    except UnreadableNotification:
        raise HTTPException(422, "Not a notification of received e-mail.") from None
