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
from mailroom.archive.auditing import PIECES_PART, AuditResult
from mailroom.audit.archive_report import ArchiveReport
from mailroom.domain.times import bounded
from mailroom.ports.archive_audit import ArchiveAudit, PieceAudit, together
from tasks.audit import (
    add_copies,
    audit_state,
    incidents_to_alarm,
    note_alarmed,
    read_copies,
    read_pieces,
    verify_records,
)

#: When journals and records were last verified.
_VERIFIED = "mailroom_archive_verified_at"
_EVERY = timedelta(days=1)

#: The limit of failures with an event each; the artifact has more.
_MOST_EVENTS = 20


@flow(name="audit", persist_result=False)
async def audit(budget_mb: int = 0, records: bool = False) -> RunState:
    """Read copies of the archive again, those verified longest ago first; repair bad ones, and report what cannot be repaired.

    Before that it adds second copies to deposits that have none, with at most half of the budget, and reads manifests and
    seals, with about a hundredth.

    Once a day it also verifies the journals, the seals and the records, as `mailroom archive verify --listing` does.

    Args:
        budget_mb: Read about this many MiB; 0 is the budget of the block.
        records: Verify the records now, and not only once a day.
    """
    begun, work = datetime.now(UTC), await open_auditing()
    budget = (budget_mb or work.budget_mb) << 20
    added = await add_copies(work.audit, add=work.add, budget=budget // 2, now=begun)
    left = budget - budget // PIECES_PART - added.bytes
    done = await read_copies(work.audit, read=work.read, repair=work.repair, budget=left, begun=begun)
    of_pieces = await read_pieces_of(work, budget // PIECES_PART, begun)
    for one in work.audits():
        await report_incidents(one)
    report = await verified_records(work, begun, now=records)
    states = [await audit_state(one, begun) for one in work.audits()]
    state = together(states)
    copied = added.sentence(state.single if work.add else 0)
    said = ", ".join(filter(None, [(done + of_pieces).sentence(state, now=begun, budget=budget), copied]))
    await acreate_markdown_artifact(as_markdown(said, report), key="archive-audit", description=said)
    return Completed(message=said)


async def read_pieces_of(work: Auditing, budget: int, begun: datetime) -> AuditResult:
    """Read manifests and seals, with a part of the budget."""
    one = work.pieces
    if one is None:
        return AuditResult()
    return await read_pieces(one.audit, one.places, read=one.read, repair=one.repair, budget=budget, begun=begun)


async def report_incidents(audit: ArchiveAudit | PieceAudit) -> None:
    """Emit an event for each document with damage, once a day while it lasts; it is noted afterwards, so none is lost."""
    incidents = await incidents_to_alarm(audit, datetime.now(UTC))
    for one in incidents:
        emit(EventName.ARCHIVE_DAMAGE, f"archive.{one.archive_id}", facts=one.damages)
    if incidents:
        await note_alarmed(audit, incidents, datetime.now(UTC))


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
