"""JSON responses of the routes of replays. Stable: fields are added, never renamed or removed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from mailroom.domain.inbound.filing_policy import RELEASABLE
from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.inbound.replaying import ReplayAction, ReplayState
from mailroom.inbound.replay_preview import Preview
from mailroom.ports.replays import ReasonGroup, Replay, ReplayedMail


class ReasonResponse(BaseModel):
    """The e-mails that were not filed for one reason."""

    reason_code: str | None
    why: str | None
    what_to_do: str | None
    mails: int
    partly: int = Field(description="Of these, filed for other tenants, and held for some")
    releasable: bool = Field(description="Whether they can be released")
    oldest: datetime
    newest: datetime


class ReasonsResponse(BaseModel):
    """What was not filed, by reason, the largest group first."""

    items: list[ReasonResponse]


class PreviewResponse(BaseModel):
    """What a replay would touch. From `items_there` on the first `examined` e-mails are counted, the oldest."""

    dry_run: bool
    action: ReplayAction
    mails: int
    reasons: dict[str, int]
    elsewhere: int = Field(description="Of these, in another replay now: they are left to it")
    under_way: int = Field(description="Of these, processed by a worker now: their turn comes afterwards")
    runs_reused: int = Field(description="Flow runs that run again; an e-mail without one gets a new one")
    examined: int
    items_there: int = Field(description="Items in inboxes already: they stay as they are")
    new_items: int = Field(description="Items that would be added, at most")
    no_route: int = Field(description="E-mails for which there is no address here")
    held_again: int = Field(description="Parts of e-mails that their tenants' policies would hold again")
    processors: dict[str, int] = Field(
        description="How often each processor would run; one that succeeded does not again"
    )
    webhooks: int = Field(description="How many calls of tenants' webhooks these would make")


class ReplayedMailResponse(BaseModel):
    """An e-mail of a replay that a person should look at."""

    id: str
    message_id: str
    state: ReplayState
    says: str
    reason_code: str | None
    why: str | None
    what_to_do: str | None
    received_at: datetime


class BulkReplayResponse(BaseModel):
    """A replay and its progress."""

    id: str
    action: ReplayAction
    wanted: dict[str, Any] = Field(description="What was selected; of ids the number")
    requested_by: str
    created_at: datetime
    mails: int
    left: int = Field(description="E-mails that have not ended; 0 is the end")
    states: dict[ReplayState, int]
    elsewhere: int = Field(description="E-mails that were selected too and that another replay had")
    troubled: list[ReplayedMailResponse] = Field(
        default_factory=list, description="E-mails that were quarantined or failed again, at most 100, oldest first"
    )


class ReplaysResponse(BaseModel):
    """The latest replays, newest first."""

    items: list[BulkReplayResponse]


def reasons_response(groups: Sequence[ReasonGroup]) -> ReasonsResponse:
    """Return the groups with the sentences of their reasons."""
    return ReasonsResponse(
        items=[
            ReasonResponse(
                **InboundReason.explain(one.reason),
                mails=one.mails,
                partly=one.partly,
                releasable=one.reason in RELEASABLE,
                oldest=one.oldest,
                newest=one.newest,
            )
            for one in groups
        ]
    )


def preview_response(seen: Preview, action: ReplayAction) -> PreviewResponse:
    """Return what a replay would touch."""
    counted = seen.selected
    return PreviewResponse(
        dry_run=True,
        action=action,
        mails=counted.mails,
        reasons=dict(counted.reasons),
        elsewhere=counted.elsewhere,
        under_way=counted.under_way,
        runs_reused=counted.with_run,
        examined=seen.examined,
        items_there=seen.items_there,
        new_items=seen.new_items,
        no_route=seen.no_route,
        held_again=seen.held_again,
        processors=dict(seen.processors),
        webhooks=seen.webhooks,
    )


def bulk_response(replay: Replay, troubled: Sequence[ReplayedMail] = ()) -> BulkReplayResponse:
    """Return a replay with its progress."""
    return BulkReplayResponse(
        id=replay.id,
        action=replay.action,
        wanted=dict(replay.wanted),
        requested_by=replay.requested_by,
        created_at=replay.created_at,
        mails=replay.mails,
        left=replay.left,
        states=dict(replay.states),
        elsewhere=replay.elsewhere,
        troubled=[
            ReplayedMailResponse(
                id=one.email_id,
                message_id=one.message_id,
                state=one.state,
                says=one.state.sentence,
                received_at=one.received_at,
                **InboundReason.explain(one.reason),
            )
            for one in troubled
        ],
    )
