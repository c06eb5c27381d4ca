"""Finding e-mails that no message of the queue will bring any more, and announcing them anew.

Two kinds: lines of the ledger that are open and silent (their worker died and their message is gone), and objects in
the bucket that the ledger does not know (their notification was lost, or its database was put back). Both get a new message in the inbound queue, so
that the listener takes them up as it takes up any other: claimed, counted and isolated where need be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailroom.domain.inbound import ObjectRef
from mailroom.domain.notifications import SETUP_NOTIFICATION, announcement
from mailroom.ports import Ledger, MailStore
from mailroom.queueing import Queue

#: With more messages than this waiting, what is not known yet is among them, and announcing it would double the queue.
BACKLOG = 100

#: Silent lines announced in one sweep; the next sweep goes on.
MOST = 500

#: Unknown objects announced in one sweep: as many as one worker files until the next, for a restored ledger has forgotten
#: thousands at once; what comes new meanwhile waits no longer than that.
_MOST_LOST = 2000
_PAGE = 1000
_PAGES = 20


@dataclass(frozen=True, slots=True)
class Found:
    """What a look into the bucket found; the next look goes on after key `until`, "" being the beginning."""

    lost: list[ObjectRef]
    until: str


def silent(*, ledger: Ledger, before: datetime) -> list[ObjectRef]:
    """Return the objects of open lines that nobody gave a sign of life for since `before`."""
    return [entry.ref for entry in ledger.silent(before=before, limit=MOST)]


def lost(*, mails: MailStore, ledger: Ledger, bucket: str, after: str, before: datetime) -> Found:
    """Return objects made before `before` that the ledger does not know, from key `after` on, in bounded many pages."""
    found: list[ObjectRef] = []
    for _ in range(_PAGES):
        page = mails.list(bucket, after=after, most=_PAGE)
        keys = [one.key for one in page if one.modified_at < before and not one.key.endswith(SETUP_NOTIFICATION)]
        known = ledger.known(bucket, keys)
        found += [ObjectRef(bucket, key) for key in keys if key not in known]
        after = page[-1].key if len(page) == _PAGE else ""
        if not after or len(found) >= _MOST_LOST:
            break
    return Found(found, after)


def announce(refs: Sequence[ObjectRef], *, queue: Queue) -> None:
    """Put a message for each object in the queue, as S3 does."""
    queue.post([announcement(ref) for ref in refs])
