"""Legal holds: recorded first, then set in the store on every copy of what they are about.

A process may end between the two: the row alone already stops an elimination, and `renew` sets what is missing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from mailroom.domain.archive.holds import LegalHold
from mailroom.ports.legal_holds import LegalHolds

#: For how long after a release `renew` still removes what the release left set.
_RECENT = timedelta(days=7)


class HeldCopies(Protocol):
    """The copies of deposits in the store."""

    def hold(self, archive_ids: Sequence[str], *, is_held: bool) -> None:
        """Set or remove the store's own legal hold on every copy of these deposits."""


def place_hold(
    subject: str, *, tenant: str, author: str, reason: str, holds: LegalHolds, copies: HeldCopies, now: datetime
) -> LegalHold:
    """Hold a deposit, or all deposits of an e-mail for the tenant; see `LegalHolds.place`."""
    hold = holds.place(subject, tenant=tenant, author=author, reason=reason, now=now)
    copies.hold(holds.deposits_of(hold), is_held=True)
    return hold


def release_hold(
    hold_id: str, *, by: str, reason: str, holds: LegalHolds, copies: HeldCopies, now: datetime
) -> LegalHold:
    """Release a hold; deposits that another one is about stay held. See `LegalHolds.release`."""
    hold = holds.release(hold_id, by=by, reason=reason, now=now)
    copies.hold(_free(holds, hold), is_held=False)
    return hold


def renew(holds: LegalHolds, copies: HeldCopies, *, now: datetime) -> int:
    """Set the store's holds again by what is recorded, also on deposits that an e-mail has got since; return the active holds."""
    active = 0
    for hold in holds.all(released=True):
        if hold.is_active:
            copies.hold(holds.deposits_of(hold), is_held=True)
            active += 1
        elif hold.released_at is not None and now - hold.released_at < _RECENT:
            copies.hold(_free(holds, hold), is_held=False)
    return active


def _free(holds: LegalHolds, released: LegalHold) -> list[str]:
    return [one for one in holds.deposits_of(released) if not holds.is_held(one)]
