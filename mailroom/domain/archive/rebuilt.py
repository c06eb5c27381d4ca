"""An e-mail as its manifests and the journal describe it, to be put back into a database that lost it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from mailroom.domain.archive.manifests import Manifest, RetentionClass, recalled
from mailroom.domain.inbound.filing_policy import Scan
from mailroom.domain.inbound.received_email import CANCELLED, Envelope, Item, ObjectRef, State
from mailroom.domain.inbound.routing import Route, candidates
from mailroom.domain.tenants import NOBODY

#: The id of the item of a tenant and a recipient.
ItemId = Callable[[str, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuiltMail:
    """An e-mail to put back. `held` has the reason for each tenant whose items are withdrawn; what the journal says of an item
    since counts first: `withdrawn` has the reason by the item's id, None if it is shown.

    `known` has the digest of each item that the journal says was filed, by the item's id.
    """

    email_id: str
    ref: ObjectRef
    state: State
    reason: str | None
    envelope: Envelope | None
    received_at: datetime
    attempts: int
    routes: tuple[Route, ...]
    scan: Scan | None
    unrouted: tuple[str, ...] | None
    released: tuple[str, ...]
    archive_ids: tuple[str, ...]
    written_at: datetime
    filed_at: datetime | None
    held: Mapping[str, str]
    known: Mapping[str, str]
    withdrawn: Mapping[str, str | None] = field(default_factory=dict)
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Described:
    """The newest manifest of each tenant, and every route that a tenant's manifests ever had, the newest of a recipient."""

    newest: Mapping[str, Manifest]
    routes: tuple[Route, ...]

    @property
    def deposited(self) -> list[Manifest]:
        """The manifests that have parts, by tenant: a recipient that nobody has is described without any."""
        return [one for _, one in sorted(self.newest.items()) if one.parts]


def described(manifests: Sequence[Manifest]) -> Described:
    """Return what an e-mail's manifests, oldest first, say together."""
    newest = {one.tenant: one for one in manifests}
    routes = {(to.tenant, to.recipient): to for one in manifests for to in one.routes}
    return Described(newest, tuple(routes.values()))


def rebuilt(
    email_id: str,
    manifests: Sequence[Manifest],
    *,
    items: Mapping[str, str],
    filed_at: datetime | None,
    item_id: ItemId,
    withdrawn: Mapping[str, str | None] | None = None,
    quarantined: bool = False,
) -> RebuiltMail | None:
    """Return the e-mail without its items; None if it was not filed when the journal ended, so that it is to be processed again.

    Args:
        items: The digests of its filed items; `withdrawn` has those that were withdrawn, or shown again, since.
        quarantined: Whether it was quarantined as a whole after it was filed, with the reason of its items.
    """
    mail = described(manifests)
    deposited = mail.deposited
    envelope = recalled(manifests)
    if not deposited or envelope is None:
        return None
    held = {one.tenant: one.reason for one in deposited if one.reason and one.tenant != NOBODY}
    state, reason = _outcome(deposited)
    withdrawn = withdrawn or {}
    if quarantined:
        state, reason = State.QUARANTINED, next(filter(None, withdrawn.values()), reason)
    current = tuple(to for one in deposited for to in one.routes)
    if state is State.FILED and deposited[0].retention is not RetentionClass.REPORT:
        missing = [to for to in current if to.tenant not in held and item_id(to.tenant, to.recipient) not in items]
        if missing:
            return None
    last = max(manifests, key=lambda one: one.attempt)
    return RebuiltMail(
        email_id=email_id,
        ref=last.ref,
        state=state,
        reason=reason,
        envelope=envelope.envelope,
        received_at=envelope.received_at,
        attempts=last.attempt,
        routes=current,
        scan=next((one.scan for one in deposited if one.scan), None),
        unrouted=_unrouted(mail, current) if envelope.envelope else None,
        released=tuple(one.tenant for one in deposited if one.is_released),
        archive_ids=_archive_ids(deposited),
        written_at=max(one.written_at or one.received_at for one in manifests),
        filed_at=filed_at,
        held=held,
        known=items,
        withdrawn=withdrawn,
    )


def filed_routes(mail: Described, items: Collection[str], item_id: ItemId) -> list[Route]:
    """Return the routes whose items were filed, also those that a later attempt no longer had."""
    return [to for to in mail.routes if item_id(to.tenant, to.recipient) in items]


def with_items(mail: RebuiltMail, items: Sequence[Item]) -> RebuiltMail:
    """Return the e-mail with these items."""
    return replace(mail, items=tuple(items))


def _archive_ids(deposited: Sequence[Manifest]) -> tuple[str, ...]:
    """Return the ids of the deposits in the order in which they are made: the raw e-mail for each tenant, then attachments."""
    parts = [(one.tenant, part) for one in deposited for part in one.parts]
    parts.sort(key=lambda one: one[1].number > 0)
    return tuple(dict.fromkeys(f"{tenant}/{part.sha256}" for tenant, part in parts))


def _outcome(deposited: Sequence[Manifest]) -> tuple[State, str | None]:
    reasons = [one.reason for one in deposited]
    if None in reasons:
        return State.FILED, None
    if reasons[0] in CANCELLED.spellings:
        return State.FAILED, reasons[0]
    return State.QUARANTINED, reasons[0]


def _unrouted(mail: Described, routes: Sequence[Route]) -> tuple[str, ...] | None:
    """Return the recipients without a route beside others; None if no recipient has one."""
    if not routes:
        return None
    nobody, inboxes = mail.newest.get(NOBODY), {to.recipient for to in routes}
    return tuple(name for name in nobody.envelope.recipients if inboxes.isdisjoint(_spellings(name))) if nobody else ()


def _spellings(recipient: str) -> list[str]:
    try:
        return candidates(recipient)
    except ValueError:
        return []
