"""Legal holds: recorded first, then set in the store on every copy of what they are about, and of its e-mails' manifests.

A process may end between the two: the row alone already stops an elimination, and `renew` sets what is missing.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from mailroom.domain.archive.holds import LegalHold
from mailroom.domain.errors import ConfigurationError, MailroomError
from mailroom.ports.legal_holds import LegalHolds

log = logging.getLogger(__name__)

#: For how long after a release `renew` still removes what the release left set.
_RECENT = timedelta(days=7)


class HeldCopies(Protocol):
    """The copies of deposits in the store."""

    def hold(self, archive_ids: Sequence[str], *, is_held: bool) -> None:
        """Set or remove the store's own legal hold on every copy of these deposits."""

    def hold_manifests(self, keys: Sequence[str], *, is_held: bool) -> None:
        """Set or remove it on every version of these manifests."""


def place_hold(
    subject: str, *, tenant: str, author: str, reason: str, holds: LegalHolds, copies: HeldCopies, now: datetime
) -> LegalHold:
    """Hold a deposit, or all deposits of an e-mail for the tenant; see `LegalHolds.place`."""
    hold = holds.place(subject, tenant=tenant, author=author, reason=reason, now=now)
    copies.hold(holds.deposits_of(hold), is_held=True)
    copies.hold_manifests(holds.manifests_of([hold]), is_held=True)
    return hold


def release_hold(
    hold_id: str, *, by: str, reason: str, holds: LegalHolds, copies: HeldCopies, now: datetime
) -> LegalHold:
    """Release a hold; deposits that another one is about stay held. See `LegalHolds.release`."""
    hold = holds.release(hold_id, by=by, reason=reason, now=now)
    copies.hold(_free(holds, hold), is_held=False)
    copies.hold_manifests(_free_manifests(holds, [hold]), is_held=False)
    return hold


def renew(holds: LegalHolds, copies: HeldCopies, *, now: datetime) -> int:
    """Set the store's holds again by what is recorded, also on what an e-mail has got since; return the active holds.

    A hold that the store refuses is logged and stops no other: its row still stops an elimination.
    """
    active = holds.all()
    released = holds.released_since(now - _RECENT)
    for hold in active:
        _set(copies.hold, holds.deposits_of(hold), hold.id, is_held=True)
    for hold in released:
        _set(copies.hold, _free(holds, hold), hold.id, is_held=False)
    for key in holds.manifests_of(active):
        _set(copies.hold_manifests, [key], f"of {key}", is_held=True)
    for key in _free_manifests(holds, released):
        _set(copies.hold_manifests, [key], f"of {key}", is_held=False)
    return len(active)


class _Holding(Protocol):
    def __call__(self, which: Sequence[str], /, *, is_held: bool) -> None: ...


def _set(hold: _Holding, which: Sequence[str], name: str, *, is_held: bool) -> None:
    try:
        hold(which, is_held=is_held)
    except (MailroomError, ConfigurationError) as error:
        what = "set" if is_held else "removed"
        log.warning("the legal hold %s cannot be %s in the archive's buckets: %s", name, what, error)


def _free(holds: LegalHolds, released: LegalHold) -> list[str]:
    return [one for one in holds.deposits_of(released) if not holds.is_held(one)]


def _free_manifests(holds: LegalHolds, released: Sequence[LegalHold]) -> list[str]:
    keys = holds.manifests_of(released)
    held = set(holds.manifests_of(holds.all())) if keys else set()
    return [key for key in keys if key not in held]
