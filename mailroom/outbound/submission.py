"""Submission of batches: a request is refused with all of its faults, or stored as a whole. It never waits for sending."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from mailroom.domain.delivery.unsubscribe import OURS
from mailroom.domain.errors import Fault, Unacceptable
from mailroom.domain.inbound.routing import normalise
from mailroom.domain.outbound.message import LIMITS, Batch, Draft, Limits
from mailroom.domain.outbound.quotas import Allowance, Period, ProviderRate, earliest_end, start_of
from mailroom.outbound.attachments import AttachmentResolver
from mailroom.outbound.preparing import Prepared, prepare
from mailroom.outbound.request import Request
from mailroom.outbound.served_senders import ServedSenders
from mailroom.ports.outbox import Accepted, Outbox, SubmissionKey
from mailroom.ports.quotas import Quotas
from mailroom.ports.senders import Senders
from mailroom.ports.suppressions import Suppressions
from mailroom.ports.terms import ProviderTerms

INVALID = "the batch is invalid"
#: Recipients per query of the suppression list.
_LOOKED_UP = 5_000


def submit(
    request: Request,
    *,
    tenant: str,
    key: SubmissionKey | None,
    now: datetime,
    new_id: Callable[[], str],
    outbox: Outbox,
    attachments: AttachmentResolver,
    senders: Senders,
    served: ServedSenders | None = None,
    terms: ProviderTerms | None,
) -> Accepted:
    """Store the batch and return the answer; the same key again returns the first answer.

    Raises:
        Unacceptable: with every fault; nothing is stored.
        Conflict: the key was used before with another body.
    """
    # Before validation: a request that was valid at first may be too late when it is repeated.
    if key is not None and (first := outbox.answered(tenant, key)) is not None:
        return first
    prepared = valid_batch(
        request,
        tenant=tenant,
        now=now,
        new_id=new_id,
        attachments=attachments,
        senders=senders,
        served=served,
        terms=terms,
    )
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
    """What a request would result in if it were submitted now.

    `duplicates` and `suppressed` are positions among the request's recipients, from 0. `size` is bytes on the wire.
    `done_at` is the earliest time when the last mail is sent, by the tenant's quota and the provider's limits (`terms`, once
    a worker has published them); None if unknown.
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
    attachments: AttachmentResolver,
    suppressions: Suppressions,
    quotas: Quotas,
    senders: Senders,
    served: ServedSenders | None = None,
    terms: ProviderTerms | None,
    with_global: bool,
) -> Preview:
    """Return what the request would result in; nothing is stored and nothing counted.

    `with_global` is for administrators: a tenant could read the global suppressions by previews of guessed addresses.
    """
    prepared = prepare(
        request,
        tenant=tenant,
        now=now,
        new_id=new_id,
        attachments=attachments,
        senders=senders,
        served=served,
        limits=limits_with(terms),
    )
    suppressed, size = _looked_up(prepared.batch, prepared.drafts, suppressions, now=now, with_global=with_global)
    going = len(prepared.drafts) - len(suppressed)
    allowance, used = quotas.allowance(tenant), quotas.used(tenant, now=now)
    starts_at = max(request.sends_at(now) or now, now)
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
    batch: Batch, drafts: Iterable[Draft], suppressions: Suppressions, *, now: datetime, with_global: bool
) -> tuple[list[int], int]:
    """Return the numbers of drafts with suppressed recipients, and the total bytes of the others."""
    suppressed: list[int] = []
    size, left = 0, iter(drafts)
    while some := list(islice(left, _LOOKED_UP)):
        recipients = {draft.number: normalise(draft.to.address) for draft in some}
        stopped = suppressions.among(
            batch.tenant, list(recipients.values()), now=now, with_global=with_global, stream=batch.stream_name
        )
        suppressed += [number for number, recipient in recipients.items() if recipient in stopped]
        size += sum(draft.size for draft in some if recipients[draft.number] not in stopped)
    return suppressed, size


def expected_end(
    tenant: str, mails: int, starts_at: datetime, *, quotas: Quotas, terms: ProviderTerms | None
) -> datetime | None:
    """Return the earliest time when the last of `mails` is sent; None if unknown."""
    allowance, used = quotas.allowance(tenant), quotas.used(tenant, now=starts_at)
    return earliest_end(allowance, used, mails, starts_at, pace=pace_at(terms, starts_at))


def refuse_unlinked(request: Request, *, unsubscribe: bool, tracked: bool) -> None:
    """Refuse a request that needs links which this installation does not make; otherwise return.

    Args:
        request: The request.
        unsubscribe: Whether links to unsubscribe are made here.
        tracked: Whether opens and clicks can be tracked here, by the provider or by links of ours.

    Raises:
        Unacceptable: with a fault for each link that cannot be made.
    """
    what = "this installation has no public URL for links: leave this out, or ask the operator"
    letters = () if unsubscribe else request.letters
    faults = [Fault((*one.where, "unsubscribe"), what) for one in letters if one.words.unsubscribe == OURS]
    if request.tracking and not tracked:
        faults.append(Fault(("tracking",), what))
    if faults:
        raise Unacceptable("the batch is invalid", faults=tuple(faults))


def valid_batch(
    request: Request,
    *,
    tenant: str,
    now: datetime,
    new_id: Callable[[], str],
    attachments: AttachmentResolver,
    senders: Senders,
    served: ServedSenders | None,
    terms: ProviderTerms | None,
) -> Prepared:
    """Return the prepared batch of a request; nothing is stored.

    Raises:
        Unacceptable: with every fault.
    """
    prepared = prepare(
        request,
        tenant=tenant,
        now=now,
        new_id=new_id,
        attachments=attachments,
        senders=senders,
        served=served,
        limits=limits_with(terms),
    )
    if prepared.faults:
        raise Unacceptable(INVALID, faults=tuple(prepared.faults))
    return prepared


def limits_with(terms: ProviderTerms | None) -> Limits:
    """Return the limits of a request, with the size of a mail lowered to the provider's."""
    return LIMITS if terms is None else replace(LIMITS, mail=min(LIMITS.mail, terms.max_bytes))


def pace_at(terms: ProviderTerms | None, time: datetime) -> ProviderRate:
    """Return the provider's rate at `time`: on another day nothing is used of its quota, and no pause is known."""
    if terms is None:
        return ProviderRate()
    same_day = start_of(Period.DAY, time) == start_of(Period.DAY, terms.told_at)
    return terms.pace if same_day else replace(terms.pace, sent_today=0, paused=False)
