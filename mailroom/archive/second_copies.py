"""Adds the second copies that deposits of before there was a second bucket lack: a budget of bytes at a time, the first deposits first.

Each is recorded before the run ends with it, so a run may be killed at any point. The content is compared with the receipt.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from mailroom.domain.errors import MailroomError, PermanentError
from mailroom.ports.archive_audit import ArchiveAudit, CopyToRead

log = logging.getLogger(__name__)

#: Deposits of one run, those between two looks at whether to go on, and those that are copied at once.
_MOST, _BATCH, _AT_ONCE = 10_000, 200, 4

#: Adds the second copy of the deposit with this archive id. It raises `LookupError` or `PermanentError` if the first copy is bad.
Add = Callable[[str], None]


@dataclass(slots=True)
class AddedCopies:
    """What one run did: second copies added, and their bytes; why it stopped, if it did before the end of its budget."""

    copies: int = 0
    bytes: int = 0
    stopped: str = ""

    def sentence(self, single: int) -> str:
        """Return what was done, and how many deposits have no second copy yet; empty if there was nothing to do."""
        if not single and not self.copies:
            return ""
        left = f"{single} documents without one" if single else "every document has two"
        return f"{self.copies} second copies added, {left}" + (f" ({self.stopped})" if self.stopped else "")


def add_second_copies(audit: ArchiveAudit, *, add: Add, budget: int, now: datetime) -> AddedCopies:
    """Add second copies of about `budget` bytes. A first copy that is bad is read next, by which its damage is recorded.

    A bucket that is away, or a missing permission, ends it: the copies are still to be read.
    """
    result = AddedCopies()
    for batch in _batches(audit.single(now=now, budget=budget, limit=_MOST)):
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            faults = list(pool.map(lambda one: _add(one, add), batch))
        added = [one for one, fault in zip(batch, faults, strict=True) if fault is None]
        result.copies += len(added)
        result.bytes += sum(one.size for one in added)
        audit.suspect(
            [one for one, fault in zip(batch, faults, strict=True) if isinstance(fault, LookupError | PermanentError)]
        )
        away = next(
            (one for one in faults if isinstance(one, MailroomError) and not isinstance(one, PermanentError)), None
        )
        if away is not None:
            log.warning("no more second copies are added now: %s", away)
            result.stopped = str(away)
            break
    return result


def _add(copy: CopyToRead, add: Add) -> Exception | None:
    try:
        add(copy.archive_id)
    except (MailroomError, LookupError) as error:
        log.warning("no second copy of %s was added: %s", copy.archive_id, error)
        return error
    return None


def _batches(copies: Sequence[CopyToRead]) -> list[Sequence[CopyToRead]]:
    return [copies[at : at + _BATCH] for at in range(0, len(copies), _BATCH)]
