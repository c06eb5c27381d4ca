"""The buttons that send messages again: one on a message's page, and one for each reason on a batch's page."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mailroom.api.auth import PageHolder, from_this_site
from mailroom.api.services import AppOutbound, AppServices, OutboundServices, Services
from mailroom.domain.outbound.message import Status
from mailroom.domain.outbound.resending import RESENDABLE, NotResent
from mailroom.domain.texts import Text
from mailroom.ports.api_keys import Holder
from mailroom.ports.message_reader import BatchLine, MessageLine
from mailroom.ports.resends import ResendGroup

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

#: Said by the button itself, where the outcome is unknown.
MayDuplicate = Annotated[bool, Query(description="Also if it may arrive twice")]


def resendable_message(
    services: Services, holder: Holder, sending: OutboundServices, line: MessageLine
) -> ResendGroup | None:
    """Return what the button of a message's page would come to; None where there is no button."""
    if line.status not in RESENDABLE:
        return None
    seen = sending.outbox.resend_message(
        holder.tenant, line.id, may_duplicate=True, dry_run=True, by=holder.name, now=services.now()
    )
    return seen.groups[0] if seen is not None else None


def resendable_groups(
    services: Services, holder: Holder, sending: OutboundServices, line: BatchLine
) -> tuple[ResendGroup, ...]:
    """Return what the buttons of a batch's page would come to, the largest group first."""
    if not RESENDABLE & line.statuses.keys():
        return ()
    seen = sending.outbox.resend_batch(
        holder.tenant, line.id, may_duplicate=True, dry_run=True, by=holder.name, now=services.now()
    )
    return () if seen is None else tuple(sorted(seen.groups, key=lambda one: -one.messages))


@router.post("/messages/{message_id}/resend")
def resend_message(
    request: Request,
    services: AppServices,
    holder: PageHolder,
    sending: AppOutbound,
    message_id: str,
    may_duplicate: MayDuplicate = False,
) -> Response:
    """Send one message again; pressed twice, it is sent again once."""
    line = sending.message_reader.message(holder.tenant, message_id)
    if line is None:
        raise HTTPException(404, "Message not found.")
    from_this_site(request)
    resent = sending.outbox.resend_message(
        holder.tenant, line.id, may_duplicate=may_duplicate, by=holder.name, now=services.now()
    )
    obstacle = resent.groups[0].obstacle if resent is not None else None
    if obstacle is not None and obstacle is not NotResent.UNDER_WAY:
        sentence, remedy = Text(obstacle.sentence), Text(obstacle.remedy)
        raise HTTPException(
            409, Text("Not sent again: %(sentence)s. What to do: %(remedy)s.", sentence=sentence, remedy=remedy)
        )
    sending.submitted.set()
    return RedirectResponse(f"/messages/{line.id}", 303)


@router.post("/batches/{batch_id}/resend")
def resend_batch(
    request: Request,
    services: AppServices,
    holder: PageHolder,
    sending: AppOutbound,
    batch_id: str,
    status: Status,
    reason: Annotated[str | None, Query(pattern=r"^[^\x00]{1,200}$")] = None,
    may_duplicate: MayDuplicate = False,
) -> Response:
    """Send messages of a batch again that are in a status for a reason; pressed twice, they are sent again once."""
    line = sending.message_reader.batch(holder.tenant, batch_id)
    if line is None:
        raise HTTPException(404, "Batch not found.")
    from_this_site(request)
    resent = sending.outbox.resend_batch(
        holder.tenant,
        line.id,
        statuses=[status],
        reasons=[reason] if reason else [],
        may_duplicate=may_duplicate,
        by=holder.name,
        now=services.now(),
    )
    count = resent.messages if resent is not None else 0
    sending.submitted.set()
    return RedirectResponse(f"/batches/{line.id}?resent={count}", 303)
