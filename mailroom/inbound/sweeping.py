"""The sweep: finds e-mails that have no message in the queue any more, and announces them again.

Three kinds: open lines of the ledger without a heartbeat (their worker died and their message is gone), objects in the
bucket that the ledger does not know (their notification was lost, or the database was restored), and lines of a restored
database that were closed by headers alone while the archive has SES's envelope. Each gets a new message in the inbound
queue, so that the listener treats it like any other: leased, counted, and isolated if need be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailroom.archive.mail_manifests import reopen_filed
from mailroom.domain.inbound.notifications import SETUP_NOTIFICATION, announcement
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.domain.times import bounded
from mailroom.ports.ledger import Ledger
from mailroom.ports.mail_store import MailStore
from mailroom.ports.manifests import Manifests
from mailroom.ports.queue import Queue

#: With more messages than this waiting, unknown objects are probably among them, and announcing them doubles the queue.
BACKLOG = 100

#: Lines without a heartbeat announced in one sweep; the next sweep continues.
MOST = 500

#: Unknown objects announced in one sweep: as many as one worker files until the next, for a restored ledger may lack
#: thousands; mail that arrives meanwhile waits no longer than that.
_MOST_LOST = 2000
_PAGE = 1000
_PAGES = 20

#: Closed lines of a restored database that one sweep compares with the archive, with one call for each tenant of a line.
_COMPARED = 200


@dataclass(frozen=True, slots=True)
class Found:
    """Objects found in one sweep; the next sweep continues after key `until`, "" being the beginning."""

    lost: list[ObjectRef]
    until: str


def silent(*, ledger: Ledger, before: datetime) -> list[ObjectRef]:
    """Return the objects of open lines without a heartbeat since `before`."""
    return [entry.ref for entry in ledger.silent(before=before, limit=MOST)]


def lost(*, mails: MailStore, ledger: Ledger, bucket: str, after: str, before: datetime) -> Found:
    """Return objects older than `before` that the ledger does not know, after key `after`; the pages read are limited."""
    objects: list[ObjectRef] = []
    for _ in range(_PAGES):
        page = mails.list(bucket, after=after, most=_PAGE)
        keys = [one.key for one in page if one.modified_at < before and not one.key.endswith(SETUP_NOTIFICATION)]
        known = ledger.known(bucket, keys)
        objects += [ObjectRef(bucket, key) for key in keys if key not in known]
        after = page[-1].key if len(page) == _PAGE else ""
        if not after or len(objects) >= _MOST_LOST:
            break
    return Found(objects, after)


def recalled(*, ledger: Ledger, manifests: Manifests, after: str, now: datetime) -> Found:
    """Reopen lines of a restored database whose envelope the archive has, and return their objects.

    `after` is where the last sweep stopped: the time of the restore, and the time of receipt that it reached, newest first.
    """
    restored_at = ledger.restored_at()
    if restored_at is None:
        return Found([], "")
    restore, (about, _, reached) = restored_at.isoformat(), after.partition(" ")
    if about == restore and not reached:
        return Found([], after)
    lines = ledger.blind(before=_time(reached) if about == restore else None, limit=_COMPARED)
    opened = [one.ref for one in lines if reopen_filed(one, manifests=manifests, ledger=ledger, now=now).envelope]
    if len(lines) < _COMPARED or lines[-1].received_at is None:
        return Found(opened, restore)
    return Found(opened, f"{restore} {lines[-1].received_at.isoformat()}")


def _time(recorded: str) -> datetime | None:
    """Return the recorded time; None if the text is not one, so that all lines are compared again."""
    try:
        return bounded(datetime.fromisoformat(recorded))
    except ValueError:
        return None


def announce(refs: Sequence[ObjectRef], *, queue: Queue) -> None:
    """Send a message for each object to the queue, in the form of S3's."""
    queue.post([announcement(ref) for ref in refs])
