"""The JSON routes that replay and release many received e-mails: by reason, with a preview, in the background."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import JSONResponse, Response

from mailroom.api.auth import ApiHolder
from mailroom.api.problems import PROBLEM
from mailroom.api.replaying import AppReplayer, begun, checked, foreseen, found
from mailroom.api.services import AppServices
from mailroom.api.v1.known_query import KnownQuery
from mailroom.api.v1.responses.replays import (
    BulkReplayResponse,
    PreviewResponse,
    ReasonsResponse,
    ReplaysResponse,
    bulk_response,
    preview_response,
    reasons_response,
)
from mailroom.domain.inbound.received_email import State
from mailroom.domain.inbound.replaying import ReplayAction, ReplayState
from mailroom.outbound.batch_body import _RequestModel
from mailroom.outbound.json_time import Time
from mailroom.ports.replays import ReplayOrder

router = APIRouter(prefix="/v1", tags=["inbound"], responses=PROBLEM, route_class=KnownQuery)

#: E-mails that one request names, and those of a replay that its response shows.
_MOST_IDS, _SHOWN = 1_000, 100
#: States of e-mails that a person should look at.
TROUBLED = [state for state in ReplayState if state.is_trouble]


class ReplayRequest(_RequestModel):
    """Which e-mails to replay or release: some by id, or all of a filter."""

    action: ReplayAction = Field(
        default=ReplayAction.REPLAY,
        description="`replay`: process by the addresses and policies as they are now; `release`: file although a policy or "
        "the limit of a sender holds it",
    )
    ids: list[Annotated[str, Field(max_length=100)]] = Field(default_factory=list, max_length=_MOST_IDS)
    states: list[State] = Field(
        default_factory=list, max_length=len(State), description="quarantined, failed; both by default"
    )
    reason: Annotated[str, Field(max_length=100)] | None = Field(default=None, description="A word of docs/reasons.md")
    since: Time | None = None
    until: Time | None = None
    recipient: Annotated[str, Field(max_length=320)] | None = Field(
        default=None, description="Of the envelope: an address, or @domain"
    )
    dry_run: Annotated[bool, Field(description="Only say what it would touch")] = False


@router.get("/inbound/reasons")
def list_reasons(services: AppServices, holder: ApiHolder, replayer: AppReplayer) -> ReasonsResponse:
    """List why e-mails were not filed, with counts. E-mails that are held for some of their tenants alone count too."""
    return reasons_response(replayer.replays.groups(holder.tenant))


@router.post(
    "/inbound/replay",
    status_code=202,
    response_model=BulkReplayResponse,
    responses={200: {"model": PreviewResponse, "description": "What it would touch, with dry_run"}},
)
def replay_many(
    services: AppServices, holder: ApiHolder, replayer: AppReplayer, which: ReplayRequest
) -> BulkReplayResponse | Response:
    """Replay or release many received e-mails in the background, each once; `dry_run` first.

    Of an e-mail that another replay has, that one is left alone. What was filed stays, and a processor that succeeded does not
    run again.
    """
    order = checked(
        ReplayOrder(
            action=which.action,
            ids=tuple(which.ids),
            states=tuple(which.states),
            reason=which.reason,
            since=which.since,
            until=which.until,
            recipient=which.recipient,
        )
    )
    if which.dry_run:
        seen = preview_response(foreseen(services, replayer, holder, order), order.action)
        return JSONResponse(seen.model_dump(mode="json"))
    return bulk_response(begun(services, replayer, holder, order))


@router.get("/inbound/replays")
def list_replays(services: AppServices, holder: ApiHolder, replayer: AppReplayer) -> ReplaysResponse:
    """List the latest replays with their progress; they are kept for 90 days."""
    return ReplaysResponse(items=[bulk_response(one) for one in replayer.replays.recent(holder.tenant, limit=_SHOWN)])


@router.get("/inbound/replays/{replay_id}")
def show_replay(services: AppServices, holder: ApiHolder, replayer: AppReplayer, replay_id: str) -> BulkReplayResponse:
    """Return one replay: how many e-mails are left, how the others ended, and which a person should look at."""
    replay = found(replayer, holder, replay_id)
    troubled = replayer.replays.mails(holder.tenant, replay.id, states=TROUBLED, limit=_SHOWN)
    return bulk_response(replay, troubled)
