"""The record of seals in SQL: what is in the archive, as an index of it; and the journals that are sealed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha512
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, func, select, text
from sqlalchemy.dialects.postgresql import insert

from mailroom.adapters.postgres.archive.models import JournalHeadRow, JournalRow
from mailroom.adapters.postgres.archive.seal_models import SealRow, SealTokenRow, SealWitnessRow
from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import table
from mailroom.domain.archive.manifests import canonical
from mailroom.domain.archive.merkle import Tree
from mailroom.domain.archive.seals import Entry, Link, SignedSeal, described, read_statement, times_of_token
from mailroom.domain.errors import PermanentError
from mailroom.ports.seals import SealLag

_journal, _heads = table(JournalRow).c, table(JournalHeadRow).c
_seals, _tokens, _witnesses = table(SealRow), table(SealTokenRow), table(SealWitnessRow)
_seal, _token, _witness = _seals.c, _tokens.c, _witnesses.c

#: Tokens that no seal names are searched among those of so many newest seals.
_RECENT = 2000

_MICROSECONDS = (func.extract("epoch", _journal.at) * 1_000_000).cast(_seal.size.type)

_UNSEALED = text("""
select min(journal.at) from journal_head head
cross join lateral (select coalesce(max(size), 0) as size from seal
    where seal.tenant = head.tenant and seal.stream = head.stream) last
join journal on journal.tenant = head.tenant and journal.stream = head.stream and journal.seq = last.size + 1
""")


class SqlSeals:
    """The port `SealRecords` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def journals(self) -> Sequence[tuple[str, str]]:
        """Return both journals of each tenant that has one."""
        tenants = self._all(select(_heads.tenant).distinct().order_by(_heads.tenant))
        return [(row.tenant, stream) for row in tenants for stream in ("life", "operations")]

    def entries(self, tenant: str, stream: str, *, after: int, limit: int) -> Sequence[Entry]:
        """Return the next entries: one statement, so that they are those of one moment."""
        wanted = select(_journal.seq, _MICROSECONDS.label("at"), _journal.payload, _journal.prev, _journal.hash)
        wanted = wanted.where(_journal.tenant == tenant, _journal.stream == stream, _journal.seq > after)
        with transaction(self._engine) as connection:
            found = connection.execute(wanted.order_by(_journal.seq).limit(limit))
            # The driver's own rows: SQLAlchemy's take as long as all the rest of a seal of 100,000 entries.
            rows = found.cursor.fetchall() if found.cursor else ()
        return [Entry._make(row) for row in rows]

    def hashes(self, tenant: str, stream: str, *, size: int) -> Sequence[bytes]:
        """Return the hashes of the first entries."""
        wanted = select(_journal.hash).where(_journal.tenant == tenant, _journal.stream == stream, _journal.seq <= size)
        return [bytes(row.hash) for row in self._all(wanted.order_by(_journal.seq))]

    def last(self, tenant: str, stream: str) -> SignedSeal | None:
        """Return the newest seal."""
        return self._one(_of(_seal, tenant, stream), _seal.number.desc())

    def find(self, tenant: str, stream: str, number: int) -> SignedSeal | None:
        """Return a seal."""
        return self._one(and_(_of(_seal, tenant, stream), _seal.number == number), _seal.number)

    def covering(self, tenant: str, stream: str, seq: int) -> SignedSeal | None:
        """Return the first seal that has this entry."""
        return self._one(and_(_of(_seal, tenant, stream), _seal.size >= seq), _seal.number)

    def before(self, tenant: str, stream: str, moment: datetime) -> Link | None:
        """Return the newest seal of this time or earlier."""
        found = self._one(and_(_of(_seal, tenant, stream), _seal.sealed_at <= moment), _seal.number.desc())
        return found.link if found else None

    def unnamed_tokens(self, tenant: str, stream: str) -> Mapping[int, str]:
        """Return the digests of tokens that no seal names."""
        newest = select(func.coalesce(func.max(_seal.number), 0)).where(_of(_seal, tenant, stream)).scalar_subquery()
        named = select(func.unnest(_seal.tokens)).where(_of(_seal, tenant, stream), _seal.number > newest - _RECENT)
        wanted = select(_token.number, _token.document).where(
            _of(_token, tenant, stream), _token.number > newest - _RECENT, _token.number.not_in(named)
        )
        rows = self._all(wanted.order_by(_token.number))
        return {row.number: sha512(row.document.encode()).hexdigest() for row in rows}

    def record(self, sealed: SignedSeal) -> bool:
        """Record a seal, and the entry about one of `life`; see the port."""
        seal = sealed.seal
        values = {
            "tenant": seal.tenant,
            "stream": seal.stream,
            "number": seal.number,
            "size": seal.tree.size,
            "sealed_at": seal.sealed_at,
            "document": sealed.document.decode(),
            "peaks": seal.tree.write(),
            "head": seal.head,
            "tokens": list(seal.tokens),
        }
        with transaction(self._engine, "commit of seal") as connection:
            one = insert(_seals).values(values).on_conflict_do_nothing().returning(_seal.number)
            is_new = connection.execute(one).first() is not None
            if is_new and seal.stream == "life":
                connection.execute(_APPEND, {"tenant": seal.tenant, "entry": _entry_about(sealed)})
        if not is_new:
            there = self.find(seal.tenant, seal.stream, seal.number)
            if there is None or there.document != sealed.document:
                raise PermanentError("another seal of this number is recorded", tenant=seal.tenant, number=seal.number)
        return is_new

    def unstamped(self, *, limit: int) -> Sequence[SignedSeal]:
        """Return seals that wait for a token."""
        return self._signed(_waiting(_tokens, _token), limit)

    def record_token(self, sealed: SignedSeal, stored: bytes) -> None:
        """Record a token's document."""
        seal, (at, ends_at) = sealed.seal, times_of_token(stored)
        values = {"tenant": seal.tenant, "stream": seal.stream, "number": seal.number, "at": at, "ends_at": ends_at}
        with transaction(self._engine, "commit of token") as connection:
            one = insert(_tokens).values(**values, document=stored.decode())
            connection.execute(one.on_conflict_do_nothing())

    def token(self, tenant: str, stream: str, number: int) -> bytes | None:
        """Return a token's document."""
        rows = self._all(select(_token.document).where(_of(_token, tenant, stream), _token.number == number))
        return rows[0].document.encode() if rows else None

    def token_times(self, tenant: str, stream: str) -> Sequence[tuple[int, datetime, datetime]]:
        """Return when each token is from, and when its authority's certificate ends."""
        wanted = select(_token.number, _token.at, _token.ends_at).where(_of(_token, tenant, stream))
        return [(row.number, row.at, row.ends_at) for row in self._all(wanted.order_by(_token.number))]

    def unwitnessed(self, witness: str, *, limit: int) -> Sequence[SignedSeal]:
        """Return seals that the witness does not have."""
        return self._signed(_waiting(_witnesses, _witness, _witness.witness == witness), limit)

    def record_witnessed(self, sealed: SignedSeal, witness: str, *, now: datetime) -> None:
        """Record that the witness has a seal."""
        seal = sealed.seal
        values = {"tenant": seal.tenant, "stream": seal.stream, "number": seal.number, "witness": witness, "at": now}
        with transaction(self._engine, "commit of witness") as connection:
            connection.execute(insert(_witnesses).values(values).on_conflict_do_nothing())

    def lag(self) -> SealLag:
        """Return since when the oldest waits."""
        with transaction(self._engine) as connection:
            return SealLag(
                unsealed=connection.execute(_UNSEALED).scalar(),
                unstamped=connection.execute(_oldest(_waiting(_tokens, _token))).scalar(),
                unwitnessed=connection.execute(_oldest(_waiting(_witnesses, _witness))).scalar(),
            )

    def _signed(self, condition: ColumnElement[bool], limit: int) -> list[SignedSeal]:
        wanted = select(_seals).where(condition).order_by(_seal.sealed_at, _seal.number).limit(limit)
        return [_read(row) for row in self._all(wanted)]

    def _one(self, condition: ColumnElement[bool], order: Any) -> SignedSeal | None:
        rows = self._all(select(_seals).where(condition).order_by(order).limit(1))
        return _read(rows[0]) if rows else None

    def _all(self, wanted: Any) -> Sequence[Any]:
        with transaction(self._engine) as connection:
            return connection.execute(wanted).all()


_APPEND = text("select journal_append(:tenant, 'operations', :entry)")


def _entry_about(sealed: SignedSeal) -> str:
    seal = sealed.seal
    subject = f"{seal.tenant}/{seal.stream}/{seal.number}"
    return canonical(
        {"kind": "seal", "subject": subject, "sha512": sealed.link.sha512, "size": seal.tree.size}
    ).decode()


def _of(columns: Any, tenant: str, stream: str) -> ColumnElement[bool]:
    return and_(columns.tenant == tenant, columns.stream == stream)


def _waiting(others: Any, columns: Any, *which: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that a seal comes after the last one of its journal in another table."""
    mine = and_(columns.tenant == _seal.tenant, columns.stream == _seal.stream, *which)
    last = select(func.coalesce(func.max(columns.number), 0)).select_from(others).where(mine)
    return _seal.number > last.correlate(_seals).scalar_subquery()


def _oldest(condition: ColumnElement[bool]) -> Any:
    return select(func.min(_seal.sealed_at)).where(condition)


def _read(row: Any) -> SignedSeal:
    """Return a recorded seal.

    Raises:
        PermanentError: the row was altered.
    """
    stored = row.document.encode()
    try:
        facts, *_ = described(stored)
        seal = read_statement(facts, Tree.read(row.size, bytes(row.peaks)), bytes(row.head))
        if (seal.tenant, seal.stream, seal.number) != (row.tenant, row.stream, row.number) or (
            seal.tree.root.hex() != facts["root"] or seal.tree.size != facts["size"]
        ):
            raise ValueError("altered")
    except ValueError:
        raise PermanentError("the record of a seal was altered", tenant=row.tenant, number=row.number) from None
    return SignedSeal(seal, stored)
