"""The steps of the sweep of inbound mail."""

from collections.abc import Sequence
from datetime import UTC, datetime

from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.inbound.indexing import index_again
from mailroom.inbound.sweeping import Found, announce, lost, recalled, silent
from mailroom.ports.inbound import Inbound
from tasks.support.steps import blocking, step


@step("count waiting messages")
async def waiting(inbound: Inbound) -> int:
    """Return the approximate number of messages in the inbound queue."""
    return await blocking(inbound.queue.waiting)


@step("find silent")
async def find_silent(before: datetime, inbound: Inbound) -> list[ObjectRef]:
    """Return the objects of open lines without a heartbeat since `before`."""
    return await blocking(silent, ledger=inbound.ledger, before=before)


@step("find lost")
async def find_lost(after: str, before: datetime, inbound: Inbound) -> Found:
    """Return objects without a ledger line, from key `after` on."""
    mails, ledger, bucket = inbound.mails, inbound.ledger, inbound.bucket
    return await blocking(lost, mails=mails, ledger=ledger, bucket=bucket, after=after, before=before)


@step("find recalled")
async def find_recalled(after: str, inbound: Inbound) -> Found:
    """Reopen closed lines of a restored database whose SES notification is in the archive, and return their objects."""
    manifests, ledger = inbound.manifests, inbound.ledger
    return await blocking(recalled, ledger=ledger, manifests=manifests, after=after, now=datetime.now(UTC))


@step("announce")
async def announce_all(refs: Sequence[ObjectRef], inbound: Inbound) -> None:
    """Put a message for each object in the inbound queue; two messages for one object are one e-mail."""
    await blocking(announce, refs, queue=inbound.queue)


@step("index older items")
async def index_older(inbound: Inbound) -> int:
    """Index the words of items that an earlier release indexed, and return how many; what is left is the next sweep's."""
    return await blocking(index_again, inbound.inbox)
