"""Handing over: a request is refused with everything that is wrong with it, or kept whole. Nothing waits for sending."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from mailroom.domain.delivery.unsubscribe import OURS
from mailroom.domain.errors import Fault, Unacceptable
from mailroom.domain.inbound.routing import normalise
from mailroom.domain.outbound.message import LIMITS, Draft, Limits
from mailroom.domain.outbound.quotas import Allowance, Period, ProviderRate, earliest_end, start_of
from mailroom.outbound.attachments import AttachmentResolver
from mailroom.outbound.preparing import prepare
from mailroom.outbound.request import Request
from mailroom.ports.outbox import Accepted, Outbox, SubmissionKey
from mailroom.ports.quotas import Quotas
from mailroom.ports.senders import Senders
from mailroom.ports.suppressions import Suppressions
from mailroom.ports.terms import ProviderTerms

#: Recipients that are looked up among the suppressed at once.
_LOOKED_UP = 5_000


def submit(
    request: Request,
    *,
    tenant: str,
    key: SubmissionKey | None,
    now: datetime,
    new_id: Callable[[], str],
    outbox: Outbox,
    enclosing: AttachmentResolver,
    senders: Senders,
    terms: ProviderTerms | None,
) -> Accepted:
    """Keep what is asked for and return what to answer; the same key again returns the first answer.

    Raises:
        Unacceptable: with every fault; nothing is kept.
        Conflict: the key came before with another body.
    """
    # Asked first: what was right when it came may be too late when it is repeated.
    if key is not None and (first := outbox.answered(tenant, key)) is not None:
        return first
    prepared = prepare(
        request,
        tenant=tenant,
        now=now,
        new_id=new_id,
        enclosing=enclosing,
        senders=senders,
        limits=limits_with(terms),
    )
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
    `done_at` is when the last mail may have gone by the quota and by what the provider takes (`terms`, where a worker
    has told); None: nobody knows.
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
    terms: ProviderTerms | None


def preview(
    request: Request,
    *,
    tenant: str,
    now: datetime,
    new_id: Callable[[], str],
    enclosing: AttachmentResolver,
    suppressions: Suppressions,
    quotas: Quotas,
    senders: Senders,
    terms: ProviderTerms | None,
    with_global: bool,
) -> Preview:
    """Return what would come of the request; nothing is kept and nothing counted. `with_global` is for administrators:
    previews of guessed addresses would read the global suppressions.
    """
    prepared = prepare(
        request,
        tenant=tenant,
        now=now,
        new_id=new_id,
        enclosing=enclosing,
        senders=senders,
        limits=limits_with(terms),
    )
    suppressed, size = _looked_up(prepared.drafts, suppressions, tenant=tenant, now=now, with_global=with_global)
    going = len(prepared.drafts) - len(suppressed)
    allowance, used = quotas.allowance(tenant), quotas.used(tenant, now=now)
    starts_at = max(request.send_at or now, now)
    return Preview(
        messages=going,
        duplicates=tuple(prepared.duplicates),
        suppressed=tuple(suppressed),
        faults=tuple(prepared.faults),
        size=size,
        allowance=allowance,
        used=used,
        starts_at=starts_at,
        done_at=expected_end(tenant, going, starts_at, quotas=quotas, terms=terms),
        terms=terms,
    )


def _looked_up(
    drafts: Iterable[Draft], suppressions: Suppressions, *, tenant: str, now: datetime, with_global: bool
) -> tuple[list[int], int]:
    """Return the numbers of those whose recipients are suppressed, and the bytes of the others."""
    suppressed: list[int] = []
    size, left = 0, iter(drafts)
    while some := list(islice(left, _LOOKED_UP)):
        recipients = {draft.number: normalise(draft.to.address) for draft in some}
        stopped = suppressions.among(tenant, list(recipients.values()), now=now, with_global=with_global)
        suppressed += [number for number, recipient in recipients.items() if recipient in stopped]
        size += sum(draft.size for draft in some if recipients[draft.number] not in stopped)
    return suppressed, size


def expected_end(
    tenant: str, mails: int, starts_at: datetime, *, quotas: Quotas, terms: ProviderTerms | None
) -> datetime | None:
    """Return when the last of `mails` may have gone, at the earliest; None: nobody knows."""
    allowance, used = quotas.allowance(tenant), quotas.used(tenant, now=starts_at)
    return earliest_end(allowance, used, mails, starts_at, pace=pace_at(terms, starts_at))


def refuse_unlinked(request: Request, *, unsubscribe: bool, tracked: bool) -> None:
    """Return if the request wants no links of ours that nothing here makes.

    Args:
        request: What is to be sent.
        unsubscribe: Whether links to unsubscribe are made here.
        tracked: Whether opens and clicks can be tracked here, by the provider or by links of ours.

    Raises:
        Unacceptable: with a fault for each wish that cannot be met.
    """
    what = "this installation makes no links of its own"
    letters = () if unsubscribe else request.letters
    faults = [Fault((*one.where, "unsubscribe"), what) for one in letters if one.words.unsubscribe == OURS]
    if request.tracking and not tracked:
        faults.append(Fault(("tracking",), what))
    if faults:
        raise Unacceptable("the request cannot be sent as it is", faults=tuple(faults))


def limits_with(terms: ProviderTerms | None) -> Limits:
    """Return what a request may hold where the provider takes no larger mails than it says."""
    return LIMITS if terms is None else replace(LIMITS, mail=min(LIMITS.mail, terms.max_bytes))


def pace_at(terms: ProviderTerms | None, time: datetime) -> ProviderRate:
    """Return what the provider will take at `time`: on another day nothing of it is used, and no pause is known."""
    if terms is None:
        return ProviderRate()
    same_day = start_of(Period.DAY, time) == start_of(Period.DAY, terms.told_at)
    return terms.pace if same_day else replace(terms.pace, sent_today=0, paused=False)
