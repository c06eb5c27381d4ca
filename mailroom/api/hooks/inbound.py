"""SNS notifications of received e-mail: each is verified before it is parsed, and queued before the response."""

from fastapi import APIRouter, HTTPException, Response

from mailroom.api.hooks.provider_events import Body
from mailroom.api.problems import PROBLEM
from mailroom.api.services import AppServices, InboundHook
from mailroom.delivery.provider_events.sns import Notification, Subscription, Unverified
from mailroom.domain.inbound.notifications import UnreadableNotification, read_notification

router = APIRouter(prefix="/hooks", tags=["hooks"], responses=PROBLEM)

_SOURCE = "sns-inbound"


@router.post("/inbound", status_code=204, response_class=Response)
def inbound(services: AppServices, body: Body) -> Response:
    """SNS tells of received e-mail, where it cannot write to the queue itself: the notice is put on the queue.

    403 for what SNS did not sign for one of our topics; 204 once the notice is on the queue, also for one that was
    before. A subscription is confirmed.
    """
    hook = services.inbound_hook
    if hook is None:
        raise HTTPException(404, "No topic posts here; MAILROOM_INBOUND_HOOK=true lets SNS.")
    _take(hook, body, services)
    return Response(status_code=204)


def _take(hook: InboundHook, body: bytes, services: AppServices) -> None:
    now = services.now()
    try:
        message = hook.verifier.read(body, now=now)
    except Unverified:
        # Which check refused is for the operator's log, not for the client.
        raise HTTPException(403, "This is not a message of a topic that may post here.") from None
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
        raise HTTPException(422, "This is no notice of received e-mail.") from None
