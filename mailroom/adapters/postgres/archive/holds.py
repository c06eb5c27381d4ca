"""Legal holds in SQL: rows that are inserted and released once, each with its entry in the tenant's journal.

An entry has the hold's id, and digests of author and reason with that id, which prove what the row says and name nobody.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, insert, select, text, update

from mailroom.adapters.postgres.archive.journal import append_entries
from mailroom.adapters.postgres.archive.models import LegalHoldRow
from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import table
from mailroom.domain.archive.holds import LegalHold
from mailroom.domain.archive.journal import JournalEntry, Kind
from mailroom.domain.archive.retention import words_fault
from mailroom.domain.errors import ConfigurationError

_holds = table(LegalHoldRow)

_DEPOSITS = text("""
select archive_id from deposit where archive_id = :subject and tenant = :tenant
union
select deposit.archive_id from inbound_email, unnest(inbound_email.archive_ids) as kept(id)
    join deposit on deposit.archive_id = kept.id
    where inbound_email.id = cast(:email_id as uuid) and deposit.tenant = :tenant
order by 1
""")

# Holds of e-mails by the key of their manifests; those of deposits together, because no index leads from a deposit to its e-mails.
_MANIFESTS = text("""
with held as (select * from unnest(cast(:tenants as text[]), cast(:subjects as text[])) as held(tenant, subject))
select one.key from held join archived_mail one on one.tenant = held.tenant
    and one.email_id = case when held.subject like '%/%' then null else held.subject::uuid end
union
select one.key from inbound_email cross join lateral unnest(inbound_email.archive_ids) as kept(id)
    join held on held.subject = kept.id
    join archived_mail one on one.tenant = held.tenant and one.email_id = inbound_email.id
    where inbound_email.archive_ids && cast(:deposits as text[])
order by 1
""")

# Few holds are active; each e-mail that is held is found by its key.
_IS_HELD = text("""
select exists (
    select from legal_hold where released_at is null and subject = :archive_id
    union all
    select from legal_hold join inbound_email
        on inbound_email.id = case when legal_hold.subject like '%/%' then null else legal_hold.subject::uuid end
        where released_at is null and legal_hold.tenant = :tenant and :archive_id = any(inbound_email.archive_ids)
)
""")


class SqlHolds:
    """The port `LegalHolds` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def place(self, subject: str, *, tenant: str, author: str, reason: str, now: datetime) -> LegalHold:
        """Record a hold and its entry."""
        if fault := words_fault(reason, "the reason"):
            raise ConfigurationError(fault)
        made = LegalHold(id=str(uuid4()), tenant=tenant, subject=subject, author=author, reason=reason, placed_at=now)
        with transaction(self._engine, "commit of legal hold") as connection:
            if not _deposits(connection, made):
                raise LookupError("the tenant has no such deposit or e-mail in the archive")
            connection.execute(insert(_holds), {one.name: getattr(made, one.name) for one in fields(made)})
            append_entries(connection, [_entry(Kind.HOLD, made, author, reason)])
        return made

    def release(self, hold_id: str, *, by: str, reason: str, now: datetime) -> LegalHold:
        """Release a hold and record its entry."""
        with transaction(self._engine, "commit of legal hold") as connection:
            row = connection.execute(select(_holds).where(_holds.c.id == hold_id).with_for_update()).first()
            if row is None:
                raise LookupError("no such legal hold")
            if fault := _hold(row).release_fault(by, reason):
                raise ConfigurationError(f"{hold_id}: {fault}")
            values = {"released_at": now, "released_by": by, "release_reason": reason}
            found = connection.execute(
                update(_holds).where(_holds.c.id == hold_id).values(values).returning(_holds)
            ).one()
            append_entries(connection, [_entry(Kind.RELEASE, _hold(found), by, reason)])
        return _hold(found)

    def find(self, hold_id: str) -> LegalHold | None:
        """Return a hold, or None."""
        with transaction(self._engine) as connection:
            row = connection.execute(select(_holds).where(_holds.c.id == hold_id)).first()
        return _hold(row) if row else None

    def all(
        self, *, tenant: str | None = None, subject: str | None = None, released: bool = False
    ) -> Sequence[LegalHold]:
        """Return active holds, newest first; with `released`, all."""
        wanted = select(_holds).order_by(_holds.c.placed_at.desc(), _holds.c.id)
        for column, value in ((_holds.c.tenant, tenant), (_holds.c.subject, subject)):
            if value is not None:
                wanted = wanted.where(column == value)
        if not released:
            wanted = wanted.where(_holds.c.released_at.is_(None))
        with transaction(self._engine) as connection:
            return [_hold(row) for row in connection.execute(wanted)]

    def released_since(self, moment: datetime) -> Sequence[LegalHold]:
        """Return the holds that were released since then."""
        with transaction(self._engine) as connection:
            return [_hold(row) for row in connection.execute(select(_holds).where(_holds.c.released_at >= moment))]

    def deposits_of(self, hold: LegalHold) -> Sequence[str]:
        """Return the archive ids of the deposits that a hold is about."""
        with transaction(self._engine) as connection:
            return _deposits(connection, hold)

    def manifests_of(self, holds: Sequence[LegalHold]) -> Sequence[str]:
        """Return the keys of the manifests of the e-mails that holds are about."""
        if not holds:
            return []
        values = {"tenants": [one.tenant for one in holds], "subjects": [one.subject for one in holds]}
        deposits = [one.subject for one in holds if "/" in one.subject]
        with transaction(self._engine) as connection:
            return connection.execute(_MANIFESTS, values | {"deposits": deposits}).scalars().all()

    def is_held(self, archive_id: str) -> bool:
        """Return whether a hold on the deposit, or on an e-mail that has it, is active."""
        with transaction(self._engine) as connection:
            return held(connection, archive_id)


def held(connection: Connection, archive_id: str) -> bool:
    """Return whether an active hold is about a deposit, in the caller's transaction: for what would delete it."""
    values = {"archive_id": archive_id, "tenant": archive_id.partition("/")[0]}
    return bool(connection.execute(_IS_HELD, values).scalar_one())


def _deposits(connection: Connection, hold: LegalHold) -> list[str]:
    values = {"subject": hold.subject, "tenant": hold.tenant, "email_id": _uuid(hold.subject)}
    return list(connection.execute(_DEPOSITS, values).scalars())


def _uuid(subject: str) -> UUID | None:
    """Return the id of an e-mail, None for a deposit's or what is neither."""
    try:
        return UUID(subject)
    except ValueError:
        return None


def _entry(kind: Kind, hold: LegalHold, by: str, reason: str) -> JournalEntry:
    facts = {"hold": hold.id, "actor": _digest(hold.id, by), "reason": _digest(hold.id, reason)}
    return JournalEntry(hold.tenant, kind, hold.subject, facts)


def _digest(hold_id: str, words: str) -> str:
    return hashlib.sha256(f"{hold_id}|{words}".encode()).hexdigest()


def _hold(row: Any) -> LegalHold:
    return LegalHold(**{one.name: getattr(row, one.name) for one in fields(LegalHold)})
