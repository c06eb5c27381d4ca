"""The JSON routes that send messages again: one, or those of a batch by status and reason."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from mailroom.api.auth import ApiHolder
from mailroom.api.problems import PROBLEM, answer_error
from mailroom.api.services import AppOutbound, AppServices
from mailroom.api.v1.known_query import KnownQuery
from mailroom.domain.outbound.message import Status
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.domain.outbound.resending import RESENDABLE
from mailroom.outbound.batch_body import _RequestModel
from mailroom.outbound.batch_json import MessageResponse, message_response
from mailroom.outbound.resend_json import ResentResponse, obstacle_values, resent_response

router = APIRouter(prefix="/v1", tags=["outbound"], responses=PROBLEM, route_class=KnownQuery)

#: Statuses of messages that can be sent again, in the order of all statuses.
STATUSES = [status for status in Status if status in RESENDABLE]

MayDuplicate = Annotated[bool, Field(description="Also messages whose outcome is unknown, which may then arrive twice")]


class ResendMessage(_RequestModel):
    """How to send a message again."""

    may_duplicate: MayDuplicate = False


class ResendBatch(_RequestModel):
    """Which messages of a batch to send again; all that can be by default."""

    statuses: list[Status] = Field(
        default_factory=list, max_length=len(Status), description=f"Of {', '.join(STATUSES)}; all of these by default"
    )
    reasons: list[Annotated[str, Field(max_length=100)]] = Field(
        default_factory=list, max_length=100, description="Words of docs/reasons.md; those of up to 0.1.0 also"
    )
    dry_run: Annotated[bool, Field(description="Only say what would come of it")] = False
    may_duplicate: MayDuplicate = False


@router.post("/messages/{message_id}/resend", status_code=202, response_model=MessageResponse)
def resend_message(
    request: Request,
    services: AppServices,
    holder: ApiHolder,
    sending: AppOutbound,
    message_id: str,
    how: ResendMessage | None = None,
) -> MessageResponse | Response:
    """Send one message again that was rejected, failed, was suppressed or is unknown, as a new attempt in its history.

    The message keeps its id. 409 with `reason_code`, `why` and `what_to_do` says why a message is not sent again; asked twice,
    the second answer is that it is under way.
    """
    may_duplicate = how is not None and how.may_duplicate
    resent = sending.outbox.resend_message(
        holder.tenant, message_id, may_duplicate=may_duplicate, by=holder.name, now=services.now()
    )
    if resent is None:
        raise HTTPException(404, "Message not found.")
    for group in resent.groups:
        if (obstacle := group.obstacle) is not None:
            detail = f"It is not sent again: {obstacle.sentence}. What to do: {obstacle.remedy}."
            more: dict[str, Any] = {"message_status": group.status, **obstacle_values(obstacle)}
            return answer_error(request, 409, detail, **more)
    sending.submitted.set()
    line = sending.message_reader.message(holder.tenant, message_id)
    if line is None:
        raise HTTPException(404, "Message not found.")
    return message_response(line)


@router.post(
    "/batches/{batch_id}/resend",
    status_code=202,
    response_model=ResentResponse,
    responses={200: {"model": ResentResponse, "description": "What would come of it, with dry_run"}},
)
def resend_batch(
    services: AppServices,
    holder: ApiHolder,
    sending: AppOutbound,
    batch_id: str,
    which: ResendBatch | None = None,
) -> Response:
    """Send messages of a batch again, by status and reason; `dry_run` first: mail does not come back.

    Messages that the provider has accepted are never among them. Asked twice, the second time finds nothing to send again.
    """
    which = which or ResendBatch()
    resent = sending.outbox.resend_batch(
        holder.tenant,
        batch_id,
        statuses=_known_statuses(which.statuses),
        reasons=_known_reasons(which.reasons),
        may_duplicate=which.may_duplicate,
        dry_run=which.dry_run,
        by=holder.name,
        now=services.now(),
    )
    if resent is None:
        raise HTTPException(404, "Batch not found.")
    if resent.messages and not which.dry_run:
        sending.submitted.set()
    answer = resent_response(resent, dry_run=which.dry_run)
    return JSONResponse(answer.model_dump(mode="json"), 200 if which.dry_run else 202)


def _known_statuses(statuses: list[Status]) -> list[Status]:
    """Return the statuses of a request, all that can be sent again where it names none.

    Raises:
        HTTPException: 422, messages of one of them are never sent again.
    """
    if never := sorted(set(statuses) - RESENDABLE):
        raise HTTPException(
            422, f"Messages that are {', '.join(never)} are never sent again; those that can be: {', '.join(STATUSES)}."
        )
    return statuses or STATUSES


def _known_reasons(reasons: list[str]) -> list[str]:
    """Return the reasons of a request.

    Raises:
        HTTPException: 422, one of them is no reason: a misspelt filter would choose nothing.
    """
    if any(OutboundReason.read(reason) is None for reason in reasons):
        raise HTTPException(422, "There is no such reason; docs/reasons.md lists them.")
    return reasons
