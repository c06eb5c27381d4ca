"""The audit of manifests and seals in SQL: which there are, by the rows that record them, and when each copy was last read."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from hashlib import sha512
from typing import Any

from sqlalchemy import Connection, Engine, and_, func, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from mailroom.adapters.postgres.archive.journal import append_entries
from mailroom.adapters.postgres.archive.piece_models import ArchivePieceRow
from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import table
from mailroom.domain.archive.damage import Damage
from mailroom.domain.archive.journal import JournalEntry, OperationsKind, Stream
from mailroom.domain.archive.seals import described, key_of
from mailroom.ports.archive_audit import AuditState, Incident, PieceToRead

_pieces = table(ArchivePieceRow)
_piece = _pieces.c

#: An incident that lasts is reported again after this time.
_AGAIN = timedelta(days=1)

#: Rows that one run adds of each kind; the next run adds more.
_MOST = 50_000

#: About the bytes of a manifest, and of an entry in the document with a seal's entries.
_MANIFEST, _ENTRY = 4096, 400

_WANTED = select(*(_piece[one.name] for one in fields(PieceToRead)))
_WHOLE: dict[str, Any] = {"damage": None, "damaged_at": None, "alarmed_at": None}

_MANIFESTS = text("""
select distinct one.tenant, one.key, one.sha256 as digest from archived_mail one
where not exists (select from archive_piece piece where piece.key = one.key and piece.digest = one.sha256
    and piece.place = :place) limit :most
""")

_NUMBERED = "lpad(one.number::text, greatest(8, length(one.number::text)), '0')"

_SEALS = text(f"""
select one.tenant, one.stream, one.number, one.document, one.size - coalesce(before.size, 0) as entries
from seal one left join seal before on (before.tenant, before.stream, before.number) = (one.tenant, one.stream, one.number - 1)
where not exists (select from archive_piece piece where piece.place = :place
    and piece.key = one.tenant || '/seals/' || one.stream || '/' || {_NUMBERED} || '.json') limit :most
""")  # noqa: S608 - constants

_TOKENS = text(f"""
select one.tenant, one.stream, one.number, one.document from seal_token one
where not exists (select from archive_piece piece where piece.place = :place
    and piece.key = one.tenant || '/seals/' || one.stream || '/' || {_NUMBERED} || '.token.json') limit :most
""")  # noqa: S608 - constants


class SqlPieceAudit:
    """The port `PieceAudit` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add_new(self, places: Sequence[str], *, now: datetime) -> None:
        """Add the copies that archived mails, seals and tokens should have at these places, and that are not known yet."""
        for place in places:
            with transaction(self._engine) as connection:
                rows = [dict(row, place=place, since=now) for row in _named(connection, place)]
                for at in range(0, len(rows), 1000):
                    connection.execute(insert(_pieces).on_conflict_do_nothing(), rows[at : at + 1000])

    def due(self, *, before: datetime, budget: int, limit: int) -> Sequence[PieceToRead]:
        """Return the copies that were verified longest ago; see the port."""
        is_due = and_(_piece.damage.is_(None), or_(_piece.verified_at.is_(None), _piece.verified_at < before))
        found, size = list[PieceToRead](), 0
        for one in self._read(_WANTED.where(is_due).order_by(_piece.verified_at.nulls_first()).limit(limit)):
            if found and size + one.size > budget:
                break
            found.append(one)
            size += one.size
        return found

    def damaged(self, *, limit: int) -> Sequence[PieceToRead]:
        """Return some copies with damage, at random."""
        return self._read(_WANTED.where(_piece.damage.is_not(None)).order_by(func.random()).limit(limit))

    def repairing(self, piece: PieceToRead, damage: Damage) -> None:
        """Record that a copy is about to be repaired: a run that finds it good afterwards names it."""
        with transaction(self._engine) as connection:
            values = {"damage": func.coalesce(_piece.damage, damage.value)}
            connection.execute(update(_pieces).where(_is(piece)).values(**values))

    def verified(self, copies: Sequence[PieceToRead], *, now: datetime) -> None:
        """Record that these copies are as recorded; those that had damage were repaired, which is an entry."""
        which = sorted((one.key, one.digest, one.place) for one in copies)
        if not which:
            return
        values = {"verified_at": func.greatest(_piece.verified_at, now), **_WHOLE}
        with transaction(self._engine, "commit of pieces") as connection:
            mine = tuple_(_piece.key, _piece.digest, _piece.place).in_(which)
            connection.execute(update(_pieces).where(mine).values(**values))
            append_entries(
                connection, [_restored(one) for one in copies if one.damage not in (None, Damage.UNREADABLE)]
            )

    def repaired(self, copy: PieceToRead, *, now: datetime) -> None:
        """Record that a copy was repaired, with its entry: `copy` for one that was never there, else `repair`."""
        values = {"verified_at": func.greatest(_piece.verified_at, now), **_WHOLE}
        with transaction(self._engine, "commit of pieces") as connection:
            connection.execute(update(_pieces).where(_is(copy)).values(**values))
            append_entries(connection, [_restored(copy)])

    def lost(self, copy: PieceToRead, damage: Damage, *, now: datetime) -> None:
        """Record damage that cannot be repaired; each kind of it is one entry."""
        is_new = or_(_piece.damage.is_distinct_from(damage.value), _piece.damaged_at.is_(None))
        values = {"damage": damage.value, "damaged_at": func.coalesce(_piece.damaged_at, now)}
        with transaction(self._engine, "commit of pieces") as connection:
            if connection.execute(update(_pieces).where(_is(copy), is_new).values(**values)).rowcount:
                append_entries(connection, [_entry(OperationsKind.DAMAGE, copy)])

    def to_alarm(self, *, now: datetime) -> Sequence[Incident]:
        """Return the incidents to report, the oldest first."""
        due = or_(func.bool_or(_piece.alarmed_at.is_(None)), func.max(_piece.alarmed_at) < now - _AGAIN)
        since = func.min(_piece.damaged_at)
        wanted = (
            select(
                _piece.key, func.jsonb_object_agg(_piece.place, _piece.damage).label("damages"), since.label("since")
            )
            .where(_piece.damaged_at.is_not(None))
            .group_by(_piece.key)
            .having(due)
            .order_by(since)
        )
        with transaction(self._engine) as connection:
            return [Incident(row.key, dict(row.damages), row.since) for row in connection.execute(wanted)]

    def alarmed(self, incidents: Sequence[Incident], *, now: datetime) -> None:
        """Record that these incidents were reported."""
        mine = and_(_piece.key.in_([one.archive_id for one in incidents]), _piece.damaged_at.is_not(None))
        with transaction(self._engine) as connection:
            connection.execute(update(_pieces).where(mine).values(alarmed_at=now))

    def state(self, *, now: datetime) -> AuditState:
        """Return how far the audit is."""
        with transaction(self._engine) as connection:
            return AuditState(**connection.execute(_STATE).one()._mapping)

    def _read(self, wanted: Any) -> list[PieceToRead]:
        with transaction(self._engine) as connection:
            rows = connection.execute(wanted).all()
        known = frozenset(Damage.__members__.values())
        return [
            PieceToRead(**dict(row._mapping) | {"damage": Damage(row.damage) if row.damage in known else None})
            for row in rows
        ]


def piece_incidents(connection: Connection) -> int:
    """Return how many manifests and documents of seals have damage that is not repaired."""
    damaged = select(func.count(_piece.key.distinct())).where(
        _piece.damage.is_not(None), _piece.damaged_at.is_not(None)
    )
    return int(connection.execute(damaged).scalar_one())


_STATE = text(
    "select count(*) as copies, coalesce(sum(size), 0)::bigint as bytes, min(coalesce(verified_at, since)) as oldest,"
    " count(distinct key) filter (where damaged_at is not null) as incidents from archive_piece"
)


def _named(connection: Connection, place: str) -> Iterator[dict[str, Any]]:
    """Yield what the rows of the archive name and the audit does not know yet. A seal whose row was altered names no entries."""
    of = {"place": place, "most": _MOST}
    for row in connection.execute(_MANIFESTS, of).all():
        yield {"tenant": row.tenant, "key": row.key, "digest": row.digest, "size": _MANIFEST}
    for part, query in (("", _SEALS), ("token", _TOKENS)):
        for row in connection.execute(query, of).all():
            stored = row.document.encode()
            of_seal = {"tenant": row.tenant, "key": key_of(row.tenant, row.stream, row.number, part)}
            yield of_seal | {"digest": sha512(stored).hexdigest(), "size": len(stored)}
            if not part and (digest := _entries_digest(stored)):
                key = key_of(row.tenant, row.stream, row.number, "entries")
                yield {"tenant": row.tenant, "key": key, "digest": digest, "size": _ENTRY * max(int(row.entries), 1)}


def _entries_digest(stored: bytes) -> str:
    try:
        digest = described(stored)[0].get("entries_sha512")
    except ValueError:
        return ""
    return digest if isinstance(digest, str) else ""


def _is(piece: PieceToRead) -> Any:
    return and_(_piece.key == piece.key, _piece.digest == piece.digest, _piece.place == piece.place)


def _restored(piece: PieceToRead) -> JournalEntry:
    return _entry(OperationsKind.COPY if piece.is_new else OperationsKind.REPAIR, piece)


def _entry(kind: OperationsKind, piece: PieceToRead) -> JournalEntry:
    digest = {"sha256" if len(piece.digest) == 64 else "sha512": piece.digest}
    return JournalEntry(piece.tenant, kind, piece.key, {"place": piece.place, **digest}, Stream.OPERATIONS)
