"""What reconciliation works with: the inbound ports, and the check that shares no code with them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

from blocks.inbound import InboundMail, open_inbound
from blocks.outbound import open_outbound
from mailroom.archive.holding import renew
from mailroom.audit.check import Places, compare_archive, conserve
from mailroom.audit.mails import Patience
from mailroom.audit.report import Report
from mailroom.outbound.dispatching import Outbound
from mailroom.ports.archive_findings import ArchiveFinding, ArchiveFindings, ScannedRange
from mailroom.ports.events import Events
from mailroom.ports.inbound import Inbound
from mailroom.ports.reconciliations import Reconciliations
from mailroom.wiring import Store


@dataclass(frozen=True, slots=True)
class Reconciling:
    """The ports of a reconciliation; `prove` is the independent check, `compare` the archive's part of it.

    `compare` takes the archive key to start after and how many versions to compare, and returns the key to continue from.
    """

    inbound: Inbound
    outbound: Outbound
    events: Events
    reconciliations: Reconciliations
    prove: Callable[[Patience], Report]
    compare: Callable[[Patience, str, int], tuple[Report, str]] | None = None
    #: Sets the archive's legal holds in S3 again, as they are recorded; returns how many are active.
    renew_holds: Callable[[], int] | None = None


async def open_reconciling(name: str = "inbound") -> Reconciling:
    """Return the ports of a reconciliation for the block `name` of inbound mail."""
    block = cast(InboundMail, await InboundMail.aload(name))
    store, s3 = Store(block.database.open()), block.client()
    archive_s3 = block.archive.client(block.archive.auditor)
    url = block.database.url.get_secret_value()
    places = Places(url, block.bucket, block.archive.bucket, block.queue_url)
    return Reconciling(
        await open_inbound(name),
        await open_outbound(),
        store.events,
        store.reconciliations,
        lambda patience: prove(places, s3, archive_s3, patience),
        partial(compare, places, archive_s3, store.archive_findings(places.archive_bucket)),
        lambda: renew(store.legal_holds, block.archive.open_copies(), now=datetime.now(UTC)),
    )


def prove(places: Places, s3: Any, archive_s3: Any, patience: Patience) -> Report:
    """Return the report of the check for these places."""
    report = Report(emit=lambda _: None, progress=lambda _: None)
    conserve(places, s3=s3, archive_s3=archive_s3, report=report, patience=patience)
    return report


def compare(
    places: Places, s3: Any, findings: ArchiveFindings, patience: Patience, after: str, most: int
) -> tuple[Report, str]:
    """Return how the archive's listing differs from its receipts, and the key to continue from; findings are stored.

    Earlier findings are checked again each time, so a difference lasts until it is resolved or acknowledged.
    """
    report = Report(emit=lambda _: None, progress=lambda _: None)
    again, now = findings.open_keys(), datetime.now(UTC)
    until = compare_archive(places, s3=s3, report=report, patience=patience, after=after, most=most, keys=again)
    archive_findings = [ArchiveFinding(one.kind, one.key, one.version, one.do, now) for one in report.findings]
    if not report.wrong["permission"]:
        findings.note(archive_findings, ScannedRange(after, until, tuple(again)), now=now)
    return report, until
