"""The steps of an audit of the archive. Each may be killed at any point and run again."""

from collections.abc import Callable, Sequence
from datetime import datetime

from mailroom.archive.auditing import PIECES_EVERY, AuditResult, Read, Repair, audit_copies
from mailroom.archive.second_copies import Add, AddedCopies, add_second_copies
from mailroom.audit.archive_report import ArchiveReport
from mailroom.ports.archive_audit import ArchiveAudit, AuditState, CopyToRead, Incident, PieceAudit, PieceToRead
from tasks.support.steps import blocking, step


@step("add second copies")
async def add_copies(audit: ArchiveAudit, *, add: Add | None, budget: int, now: datetime) -> AddedCopies:
    """Add second copies that are missing, if there is a second place, and return what was done."""
    return await blocking(add_second_copies, audit, add=add, budget=budget, now=now) if add else AddedCopies()


@step("read manifests and seals")
async def read_pieces(
    audit: PieceAudit,
    places: Sequence[str],
    *,
    read: Read[PieceToRead],
    repair: Repair[PieceToRead],
    budget: int,
    begun: datetime,
) -> AuditResult:
    """Read the manifests and seals of these places that were verified longest ago, repair lost ones, and return what was done."""
    await blocking(audit.add_new, places, now=begun)
    return await blocking(audit_copies, audit, read=read, repair=repair, budget=budget, begun=begun - PIECES_EVERY)


@step("read copies")
async def read_copies(
    audit: ArchiveAudit, *, read: Read[CopyToRead], repair: Repair[CopyToRead], budget: int, begun: datetime
) -> AuditResult:
    """Read the copies that were verified longest ago, repair bad ones, and return what was done."""
    return await blocking(audit_copies, audit, read=read, repair=repair, budget=budget, begun=begun)


@step("verify records")
async def verify_records(verify: Callable[[datetime], ArchiveReport], now: datetime) -> ArchiveReport:
    """Return what journals, seals and records of the archive show, without reading its bytes."""
    return await blocking(verify, now)


@step("incidents")
async def incidents_to_alarm(audit: ArchiveAudit | PieceAudit, now: datetime) -> Sequence[Incident]:
    """Return the documents with damage of which no event was emitted for a day."""
    return await blocking(audit.to_alarm, now=now)


@step("note incidents")
async def note_alarmed(audit: ArchiveAudit | PieceAudit, incidents: Sequence[Incident], now: datetime) -> None:
    """Record that events of these were emitted."""
    await blocking(audit.alarmed, incidents, now=now)


@step("state of the audit")
async def audit_state(audit: ArchiveAudit | PieceAudit, now: datetime) -> AuditState:
    """Return how far the audit is."""
    return await blocking(audit.state, now=now)
