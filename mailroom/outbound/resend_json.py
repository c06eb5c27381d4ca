"""What a resend came to as JSON, for the HTTP service and the command line. Stable: fields are added, never renamed or removed."""

from typing import Any

from pydantic import BaseModel, Field

from mailroom.domain.outbound.message import Status
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.domain.outbound.resending import NotResent
from mailroom.ports.resends import ResendGroup, Resent


class NotResentResponse(BaseModel):
    """Why messages are not sent again."""

    reason_code: str
    why: str
    what_to_do: str


class ResendGroupResponse(BaseModel):
    """Messages in one status for one reason: sent again, or `not_resent` says why not."""

    status: Status
    reason_code: str | None
    why: str | None = Field(description="Why they are in this status, as a sentence")
    what_to_do: str | None
    messages: int
    not_resent: NotResentResponse | None


class ResentResponse(BaseModel):
    """How many messages are sent again, and which are not and why."""

    id: str
    dry_run: bool
    resent: int
    may_arrive_twice: int = Field(description="How many of these had an unknown outcome")
    not_resent: int
    groups: list[ResendGroupResponse]


def resent_response(resent: Resent, *, dry_run: bool) -> ResentResponse:
    """Return what a resend of a batch came to, or would."""
    return ResentResponse(
        id=resent.batch_id,
        dry_run=dry_run,
        resent=resent.messages,
        may_arrive_twice=resent.may_duplicate,
        not_resent=resent.withheld,
        groups=[_group(one) for one in resent.groups],
    )


def obstacle_values(obstacle: NotResent) -> dict[str, str]:
    """Return why messages are not sent again."""
    return {"reason_code": obstacle.value, "why": obstacle.sentence, "what_to_do": obstacle.remedy}


def _group(group: ResendGroup) -> ResendGroupResponse:
    why: dict[str, Any] = OutboundReason.explain(group.reason)
    not_resent = None if group.obstacle is None else NotResentResponse(**obstacle_values(group.obstacle))
    return ResendGroupResponse(status=group.status, messages=group.messages, not_resent=not_resent, **why)
