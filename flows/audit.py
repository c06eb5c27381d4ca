"""The audit of the archive: every hour, reads a part of all copies again; every day, verifies journals and records."""

from datetime import UTC, datetime, timedelta

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.objects import State as RunState
from prefect.states import Completed
from prefect.variables import Variable

from blocks.support.auditing import Auditing, open_auditing
from flows.support.audit_report import as_markdown
from flows.support.events import EventName, emit
from mailroom.audit.archive_report import ArchiveReport
from mailroom.domain.times import bounded
from tasks.audit import add_copies, audit_state, incidents_to_alarm, note_alarmed, read_copies, verify_records

#: When journals and records were last verified.
_VERIFIED = "mailroom_archive_verified_at"
_EVERY = timedelta(days=1)

#: The limit of failures with an event each; the artifact has more.
_MOST_EVENTS = 20


@flow(name="audit", persist_result=False)
async def audit(budget_mb: int = 0, records: bool = False) -> RunState:
    """Read copies of the archive again, those verified longest ago first; repair bad ones, and report what cannot be repaired.

    Before that it adds second copies to deposits that have none, with at most half of the budget.

    Once a day it also verifies the journals, the seals and the records, as `mailroom archive verify --listing` does.

    Args:
        budget_mb: Read about this many MiB; 0 is the budget of the block.
        records: Verify the records now, and not only once a day.
    """
    begun, work = datetime.now(UTC), await open_auditing()
    budget = (budget_mb or work.budget_mb) << 20
    added = await add_copies(work.audit, add=work.add, budget=budget // 2, now=begun)
    left = budget - added.bytes
    done = await read_copies(work.audit, read=work.read, repair=work.repair, budget=left, begun=begun)
    await report_incidents(work)
    report = await verified_records(work, begun, now=records)
    state = await audit_state(work.audit, begun)
    copied = added.sentence(state.single if work.add else 0)
    said = ", ".join(filter(None, [done.sentence(state, now=begun, budget=budget), copied]))
    await acreate_markdown_artifact(as_markdown(said, report), key="archive-audit", description=said)
    return Completed(message=said)


async def report_incidents(work: Auditing) -> None:
    """Emit an event for each document with damage, once a day while it lasts; it is noted afterwards, so none is lost."""
    incidents = await incidents_to_alarm(work.audit, datetime.now(UTC))
    for one in incidents:
        emit(EventName.ARCHIVE_DAMAGE, f"archive.{one.archive_id}", facts=one.damages)
    if incidents:
        await note_alarmed(work.audit, incidents, datetime.now(UTC))


async def verified_records(work: Auditing, begun: datetime, *, now: bool) -> ArchiveReport | None:
    """Verify journals and records once a day, or `now`, and emit an event for each failure; None if it is not yet time."""
    last = _time(str(await Variable.aget(_VERIFIED, default="")))
    if not now and last is not None and timedelta(0) <= begun - last < _EVERY:
        return None
    report = await verify_records(work.verify, begun)
    for one in report.failures()[:_MOST_EVENTS]:
        emit(EventName.ARCHIVE_DAMAGE, f"archive.{one.subject}", facts={"check": one.check, "what": one.do})
    await Variable.aset(_VERIFIED, begun.isoformat(), overwrite=True)
    return report


def _time(text: str) -> datetime | None:
    try:
        return bounded(datetime.fromisoformat(text))
    except (ValueError, TypeError):
        return None
