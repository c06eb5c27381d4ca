"""What the audit of the archive works with: its record, reading with the auditor's credentials, and repair with the writer's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from blocks.seals import JournalSeals
from mailroom.adapters.aws.archive_copies import ArchiveCopies
from mailroom.adapters.aws.archive_pieces import ArchivePieces
from mailroom.adapters.seal_key import trusted_keys
from mailroom.archive.auditing import Read, Repair
from mailroom.archive.second_copies import Add
from mailroom.audit.archive_documents import FIRST, SECOND, Expected, Place
from mailroom.audit.archive_pieces import FoundPiece, read_piece
from mailroom.audit.archive_reading import NotReadError, read_copy
from mailroom.audit.archive_report import ArchiveReport
from mailroom.audit.archive_rows import Scope
from mailroom.audit.archive_seals import SealTrust, is_seal
from mailroom.audit.verify import Installation, verify
from mailroom.domain.archive.damage import Damage
from mailroom.domain.errors import PermanentError, TransientError
from mailroom.ports.archive_audit import ArchiveAudit, CopyToRead, PieceAudit, PieceToRead
from mailroom.settings import load_settings
from mailroom.wiring import Store


@dataclass(frozen=True, slots=True)
class Auditing:
    """The ports of an audit; `verify` checks journals, seals and records at a time, without the bytes of the archive."""

    audit: ArchiveAudit
    read: Read[CopyToRead]
    repair: Repair[CopyToRead]
    verify: Callable[[datetime], ArchiveReport]
    budget_mb: int
    #: Adds the second copy of a deposit; None without a second place.
    add: Add | None = None
    pieces: "AuditedPieces | None" = None

    def audits(self) -> list[ArchiveAudit | PieceAudit]:
        """Return the audits of deposits, and of manifests and seals."""
        return [self.audit, *([self.pieces.audit] if self.pieces else [])]


@dataclass(frozen=True, slots=True)
class AuditedPieces:
    """The same of manifests and seals; `places` are the names of the places that should have them."""

    audit: PieceAudit
    places: Sequence[str]
    read: Read[PieceToRead]
    repair: Repair[PieceToRead]


async def open_auditing(name: str = "archive") -> Auditing:
    """Return the ports of an audit for the block `name` of seals."""
    seals, settings = cast(JournalSeals, await JournalSeals.aload(name)), load_settings()
    block, witness = seals.archive, seals.witness()
    places = [Place(FIRST, block.client(block.auditor), block.bucket)]
    if block.copy_bucket:
        places.append(Place(SECOND, block.copy_client(block.auditor), block.copy_bucket))
    trust = SealTrust(
        Place("witness", *witness) if witness else None,
        trusted_keys(settings.seal_key.get_secret_value(), settings.seal_keys_before),
    )
    installation = Installation(block.database.url.get_secret_value(), places, trust)
    store, copies = Store(block.database.open()), block.open_copies()
    return Auditing(
        store.archive_audit,
        reading(places),
        repairing(copies, places),
        lambda now: records_of(installation, now),
        block.audit_mb,
        copies.add_second if block.copy_bucket else None,
        pieces_of(store.piece_audit, copies.pieces, places),
    )


def reading(places: list[Place]) -> Read[CopyToRead]:
    """Return how a copy is read, with the independent code of `mailroom archive verify`."""
    by_name = {one.name: one for one in places}

    def read(copy: CopyToRead) -> Damage | None:
        place = by_name.get(copy.place)
        if place is None or place.bucket != copy.bucket:
            raise PermanentError("the bucket of a copy is not configured", archive_id=copy.archive_id, place=copy.place)
        expected = Expected(
            archive_id=copy.archive_id,
            place=place,
            key=copy.key,
            version=copy.version,
            sha256=copy.archive_id.rpartition("/")[2],
            sha512=copy.sha512,
            size=copy.size,
            mode=copy.lock_mode,
            until=copy.retain_until,
        )
        try:
            wrong = read_copy(expected)
        except NotReadError as error:
            raise TransientError(str(error), archive_id=copy.archive_id, place=copy.place) from error
        return Damage(wrong[0].kind) if wrong else None

    return read


def repairing(copies: ArchiveCopies, places: list[Place]) -> Repair[CopyToRead]:
    """Return how a copy is repaired from the one in the other place."""

    def repair(copy: CopyToRead, _: Damage) -> bool:
        others = [one.name for one in places if one.name != copy.place]
        if not others:
            return False
        try:
            copies.repair(copy.archive_id, from_place=others[0], to_place=copy.place)
        except (LookupError, KeyError, PermanentError):
            return False
        return True

    return repair


def pieces_of(audit: PieceAudit, pieces: ArchivePieces, places: list[Place]) -> AuditedPieces:
    """Return how manifests and seals are read, with the auditor's credentials and independent code, and repaired."""
    by_name = {one.name: one for one in places}

    def read_at(name: str, piece: PieceToRead) -> FoundPiece:
        try:
            return read_piece(by_name[name], piece.key, piece.digest)
        except NotReadError as error:
            raise TransientError(str(error), key=piece.key, place=name) from error

    def read(piece: PieceToRead) -> Damage | None:
        if piece.place not in by_name:
            raise PermanentError("the bucket of a copy is not configured", key=piece.key, place=piece.place)
        found = read_at(piece.place, piece)
        if found.damage is None:
            return None
        if piece.is_new:
            # Of before there was a second bucket; one whose lock has ended gets no second copy, as a deposit.
            ends = [one.until for name in by_name if name != piece.place and (one := read_at(name, piece)).until]
            if ends and max(ends) <= datetime.now(UTC):
                return None
        return Damage(found.damage)

    def repair(piece: PieceToRead, damage: Damage) -> bool:
        if damage is Damage.UNLOCKED or (damage is Damage.ALTERED and is_seal(piece.key)):
            return False
        return pieces.repair(
            piece.key, piece.digest, to_place=piece.place, before=lambda: audit.repairing(piece, damage)
        )

    return AuditedPieces(audit, list(by_name), read, repair)


def records_of(installation: Installation, now: datetime) -> ArchiveReport:
    """Return what journals, seals, rows and listings show."""
    report = ArchiveReport()
    verify(installation, Scope(), report, now=now, reading=False)
    return report
