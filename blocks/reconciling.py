"""What proving and watching need: the inbound ports, and the check that shares no code with them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from blocks.inbound import InboundMail, open_inbound
from blocks.sending import open_outbound
from mailroom.adapters.sql.events import SqlEvents
from mailroom.adapters.sql.watching import SqlReconciliations
from mailroom.checking.check import Places, conserve
from mailroom.checking.mails import Patience
from mailroom.checking.report import Report
from mailroom.events import Events
from mailroom.outbound.dispatching import Outbound
from mailroom.ports import Inbound
from mailroom.watching import Reconciliations


@dataclass(frozen=True, slots=True)
class Reconciling:
    """Everything that a reconciliation works with; `prove` is the independent check."""

    inbound: Inbound
    outbound: Outbound
    events: Events
    reconciliations: Reconciliations
    prove: Callable[[Patience], Report]


async def open_reconciling(name: str = "inbound") -> Reconciling:
    """Return what the block `name` of inbound mail leads to."""
    block = cast(InboundMail, await InboundMail.aload(name))
    engine, s3 = block.database.open(), block.credentials.get_client("s3")
    archive_s3 = block.archive.credentials.get_client("s3")
    url = block.database.url.get_secret_value()
    places = Places(url, block.bucket, block.archive.bucket, block.queue_url)
    return Reconciling(
        await open_inbound(name),
        await open_outbound(),
        SqlEvents(engine),
        SqlReconciliations(engine),
        lambda patience: prove(places, s3, archive_s3, patience),
    )


def prove(places: Places, s3: Any, archive_s3: Any, patience: Patience) -> Report:
    """Return what the check finds in these places."""
    report = Report(tell=lambda _: None, progress=lambda _: None)
    conserve(places, s3=s3, archive_s3=archive_s3, report=report, patience=patience)
    return report
