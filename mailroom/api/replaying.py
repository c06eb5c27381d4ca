"""Replays of received mail, for the pages and the API: who may do what, and what an order may say.

A key with the scope `administer` replays and releases e-mails that were routed to its tenant, perhaps among others; an
operator's all. A tenant's release concerns its own part. Addresses are added by operators alone.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import Depends, HTTPException

from mailroom.api.services import AppServices, Services
from mailroom.api.trail import write_change
from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.inbound.replaying import ReplayAction
from mailroom.domain.inbound.routing import Address
from mailroom.domain.trail import What
from mailroom.inbound.address_book import read_pattern
from mailroom.inbound.replay_preview import Preview, preview
from mailroom.inbound.replaying import Replayer
from mailroom.ports.api_keys import Holder
from mailroom.ports.replays import Replay, ReplayOrder


def replayer_of(services: AppServices) -> Replayer:
    """Return what replays received mail. Routes depend on it after the holder.

    Raises:
        HTTPException: 404, this installation has none.
    """
    if services.replayer is None:
        raise HTTPException(404, "Received mail cannot be replayed on this installation.")
    return services.replayer


AppReplayer = Annotated[Replayer, Depends(replayer_of)]


def checked(order: ReplayOrder) -> ReplayOrder:
    """Return the order, its recipient in the stored spelling.

    Raises:
        HTTPException: 422, it selects nothing, contradicts itself, or has an unknown reason: a misspelt filter would choose
            nothing.
    """
    filters = (order.states, order.reason, order.since, order.until, order.recipient)
    if order.ids and any(filters):
        raise HTTPException(422, "Give either ids, or a filter, not both.")
    if not (order.ids or order.states or order.reason or order.recipient):
        raise HTTPException(422, "Give ids, or a filter: reason, states or recipient.")
    if order.reason is not None and InboundReason.read(order.reason) is None:
        raise HTTPException(422, "There is no such reason; docs/reasons.md lists them.")
    if any(not state.is_replayable for state in order.states):
        raise HTTPException(422, "Only quarantined and failed e-mails are selected by their state.")
    return replace(order, recipient=_recipient(order.recipient)) if order.recipient else order


def foreseen(
    services: Services, replayer: Replayer, holder: Holder, order: ReplayOrder, added: Sequence[Address] = ()
) -> Preview:
    """Return what a replay would touch; `added` are addresses that would be there too."""
    return preview(replayer.replays, services.addresses, holder.tenant, order, added)


def begun(services: Services, replayer: Replayer, holder: Holder, order: ReplayOrder) -> Replay:
    """Begin a replay; it goes on in the background, whatever becomes of this process."""
    replay = replayer.replays.begin(holder.tenant, order, by=holder.name, now=services.now())
    what = What.MAILS_RELEASED if order.action is ReplayAction.RELEASE else What.MAILS_REPLAYED
    write_change(services, holder, what, replay.id)
    return replay


def found(replayer: Replayer, holder: Holder, replay_id: str) -> Replay:
    """Return one replay of the holder's.

    Raises:
        HTTPException: 404.
    """
    replay = replayer.replays.find(holder.tenant, replay_id)
    if replay is None:
        raise HTTPException(404, "Replay not found.")
    return replay


def _recipient(written: str) -> str:
    """Return an address or `@domain` in its stored spelling.

    Raises:
        HTTPException: 422, it is neither.
    """
    try:
        pattern = read_pattern(written)
    except ValueError:
        pattern = ""
    if "@" not in pattern or "\x00" in written:
        raise HTTPException(422, "The recipient must be an address, or @domain.")
    return pattern
