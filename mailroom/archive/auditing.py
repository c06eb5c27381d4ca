"""Reads the archive's copies again, a budget of bytes at a time: repairs those that are bad from good ones, records the others.

Each batch is recorded before the next one is read, so a run may be killed at any point.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mailroom.crash_points import crash_point
from mailroom.domain.archive.damage import Damage
from mailroom.domain.errors import MailroomError, TransientError
from mailroom.ports.archive_audit import AuditState, Copy, CopyAudit

log = logging.getLogger(__name__)

#: Copies in one batch, and copies that are read at once.
_BATCH, _AT_ONCE = 200, 4

#: Copies with damage that are read again in one run.
_AGAIN = 100

#: Every byte is to be read within this time; manifests and seals, which are small, no more often than `PIECES_EVERY`.
CYCLE, PIECES_EVERY = timedelta(days=30), timedelta(days=7)

#: Manifests and seals use this part of a run's budget. They are small, so that requests count, not bytes: 25,000 of 4 KiB at the default.
PIECES_PART = 100

#: Reads a copy and returns its damage, None if it is as recorded. It raises a `MailroomError` if it cannot be read.
Read = Callable[[Copy], Damage | None]

#: Repairs a copy, which has this damage, from another and returns whether it could: false if no other copy is good.
Repair = Callable[[Copy, Damage], bool]


@dataclass(slots=True)
class AuditResult:
    """What one run did: copies and bytes read, copies repaired, copies with damage that could not be repaired.

    `added` are second copies of manifests and seals of before there was a second bucket.
    """

    copies: int = 0
    bytes: int = 0
    repaired: int = 0
    lost: int = 0
    added: int = 0

    def __add__(self, other: "AuditResult") -> "AuditResult":
        return AuditResult(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def sentence(self, state: AuditState, *, now: datetime, budget: int, runs_a_day: int = 24) -> str:
        """Return what was done, what is open, and whether the budget suffices."""
        done = [f"{self.copies} copies, {self.bytes >> 20} MiB read", f"{self.repaired} repaired"]
        if self.added:
            done.append(f"{self.added} second copies of manifests and seals added")
        if state.incidents:
            done.append(f"{state.incidents} documents with damage: see docs/archive.md")
        days = state.bytes / (budget * runs_a_day)
        is_late = state.oldest is not None and now - state.oldest > CYCLE
        if days > CYCLE.days or is_late:
            wanted = max(state.bytes // (CYCLE.days * runs_a_day) + 1, budget + 1) >> 20
            done.append(
                f"{state.bytes >> 20} MiB are not read within {CYCLE.days} days: raise MAILROOM_ARCHIVE_AUDIT_MB to {wanted + 1}"
            )
        return ", ".join(done)


def audit_copies(
    audit: CopyAudit[Copy], *, read: Read[Copy], repair: Repair[Copy], budget: int, begun: datetime
) -> AuditResult:
    """Read the copies that were verified longest ago, and before `begun`, until about `budget` bytes are read.

    Then read some with damage again.

    Raises:
        TransientError: no copy could be read.
    """
    result, known = AuditResult(), audit.damaged(limit=_AGAIN)
    while result.bytes < budget or result.copies == 0:
        batch = audit.due(before=begun, budget=budget - result.bytes, limit=_BATCH)
        if not batch:
            break
        _look(batch, audit, read, repair, result)
    _look(known, audit, read, repair, result)
    return result


def _look(
    batch: Sequence[Copy], audit: CopyAudit[Copy], read: Read[Copy], repair: Repair[Copy], result: AuditResult
) -> None:
    """Read a batch and record it; what cannot be read while others can is damage, too."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(lambda one: _damage(one, read), batch))
    if batch and not result.copies and all(one is Damage.UNREADABLE for one in found):
        raise TransientError("the archive cannot be read; see whether S3 answers and what the auditor may read")
    now = datetime.now(UTC)
    crash_point("before", "audited")
    audit.verified([copy for copy, damage in zip(batch, found, strict=True) if damage is None], now=now)
    for copy, damage in zip(batch, found, strict=True):
        if damage is not None:
            _mend(copy, damage, audit, repair, result)
    crash_point("after", "audited")
    result.copies += len(batch)
    result.bytes += sum(one.size for one in batch)


def _damage(copy: Copy, read: Read[Copy]) -> Damage | None:
    try:
        return read(copy)
    except MailroomError:
        return Damage.UNREADABLE


def _mend(copy: Copy, damage: Damage, audit: CopyAudit[Copy], repair: Repair[Copy], result: AuditResult) -> None:
    """Repair a copy, or record that it cannot be."""
    try:
        is_repaired = damage is not Damage.UNREADABLE and repair(copy, damage)
    except TransientError:
        raise
    except MailroomError as error:
        log.warning("copy %s of %s cannot be repaired: %s", copy.place, copy.archive_id, error)
        is_repaired = False
    if is_repaired and copy.is_new:
        audit.repaired(copy, now=datetime.now(UTC))
        result.added += 1
    elif is_repaired:
        audit.repaired(copy, now=datetime.now(UTC))
        result.repaired += 1
        log.warning("copy %s of %s was %s, and is repaired", copy.place, copy.archive_id, damage)
    else:
        if copy.damage != damage:
            log.warning("copy %s of %s is %s, and cannot be repaired", copy.place, copy.archive_id, damage)
        audit.lost(copy, damage, now=datetime.now(UTC))
        result.lost += 1
