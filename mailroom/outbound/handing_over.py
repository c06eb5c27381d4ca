"""Handing over: a request is refused with everything that is wrong with it, or kept whole. Nothing waits for sending."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mailroom.domain.errors import Fault, Unacceptable
from mailroom.domain.quotas import Allowance, Period, done_at
from mailroom.domain.routing import normalise
from mailroom.outbound.enclosing import Enclosing
from mailroom.outbound.preparing import prepare
from mailroom.outbound.request import Request
from mailroom.sending import Accepted, Key, Outbox, Quotas, Suppressions


def hand_over(
    request: Request,
    *,
    tenant: str,
    key: Key | None,
    now: datetime,
    new_id: Callable[[], str],
    outbox: Outbox,
    enclosing: Enclosing,
) -> Accepted:
    """Keep what is asked for and return what to answer; the same key again returns the first answer.

    Raises:
        Unacceptable: with every fault; nothing is kept.
        Conflict: the key came before with another body.
    """
    # Asked first: what was right when it came may be too late when it is repeated.
    if key is not None and (first := outbox.answered(tenant, key)) is not None:
        return first
    prepared = prepare(request, tenant=tenant, now=now, new_id=new_id, enclosing=enclosing)
    if prepared.faults:
        raise Unacceptable("the request cannot be sent as it is", faults=tuple(prepared.faults))
    return outbox.accept(
        prepared.batch,
        prepared.contents,
        prepared.drafts,
        files=prepared.files,
        duplicates=prepared.duplicates,
        key=key,
        now=now,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a request would come to if it were handed over now.

    `duplicates` and `suppressed` are places among the request's recipients, from 0. `size` is bytes on the wire.
    `done_at` is when the quota alone would have let the last mail go; None is never.
    """

    messages: int
    duplicates: tuple[int, ...]
    suppressed: tuple[int, ...]
    faults: tuple[Fault, ...]
    size: int
    allowance: Allowance
    used: dict[Period, int]
    starts_at: datetime
    done_at: datetime | None


def preview(
    request: Request,
    *,
    tenant: str,
    now: datetime,
    new_id: Callable[[], str],
    enclosing: Enclosing,
    suppressions: Suppressions,
    quotas: Quotas,
) -> Preview:
    """Return what would come of the request; nothing is kept and nothing counted."""
    prepared = prepare(request, tenant=tenant, now=now, new_id=new_id, enclosing=enclosing)
    recipients = {draft.number: normalise(draft.to.address) for draft in prepared.drafts}
    stopped = suppressions.among(tenant, list(recipients.values()), now=now)
    going = [draft for draft in prepared.drafts if recipients[draft.number] not in stopped]
    allowance, used = quotas.allowance(tenant), quotas.used(tenant, now=now)
    starts_at = max(request.send_at or now, now)
    return Preview(
        messages=len(going),
        duplicates=tuple(prepared.duplicates),
        suppressed=tuple(number for number, recipient in recipients.items() if recipient in stopped),
        faults=tuple(prepared.faults),
        size=sum(draft.size for draft in going),
        allowance=allowance,
        used=used,
        starts_at=starts_at,
        done_at=done_at(allowance, used if starts_at == now else {}, len(going), starts_at),
    )
