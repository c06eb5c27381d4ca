"""People, sessions and sign-in links in SQL. All times are the database's. What a holder may do is read with every request."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_new

from mailroom.adapters.postgres.engine import statement, transaction
from mailroom.adapters.postgres.inbox.visible_to import owned
from mailroom.adapters.postgres.models import TenantRow, table
from mailroom.adapters.postgres.paging import behind, page_of, uuid_of
from mailroom.adapters.postgres.tenants.models import PersonRow, PersonSessionRow, SignInLinkRow
from mailroom.adapters.postgres.tenants.trail import write_within
from mailroom.domain.api_keys import MOST_SCOPES
from mailroom.domain.errors import Conflict
from mailroom.domain.people import Role, new_secret, secret_digest
from mailroom.ports.api_keys import Holder
from mailroom.ports.inbox_reader import Page, Position
from mailroom.ports.people import LINK_LASTS, LINKS_WITHIN, MOST_LINKS, MOST_PEOPLE, NewPerson, Person, SignIn
from mailroom.ports.trail import NewEntry

#: Being seen is written again after this time.
_NOTED = timedelta(minutes=1)
#: How long ended sessions and links are kept.
_KEPT = timedelta(days=30)

_people, _sessions, _links = table(PersonRow), table(PersonSessionRow), table(SignInLinkRow)
_person, _session, _link = _people.c, _sessions.c, _links.c
_works = (_session.ended_at.is_(None), _session.idle_ends_at > func.now(), _session.ends_at > func.now())
_is_usable = (_link.used_at.is_(None), _link.ends_at > func.now())


class SqlPeople:
    """The port `People` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, new: NewPerson, entry: NewEntry | None = None) -> Person:
        """Add a person, and the tenant when that is new."""
        whose = _person.tenant.is_(None) if new.tenant is None else _person.tenant == new.tenant
        row = {"id": uuid4(), "address": new.address, "role": new.role.value, "tenant": new.tenant}
        row |= {"inboxes": list(new.inboxes), "created_at": func.now(), "added_by": new.added_by}
        with transaction(self._engine) as connection:
            if connection.execute(select(func.count()).where(whose)).scalar_one() >= MOST_PEOPLE:
                raise Conflict(f"there are {MOST_PEOPLE} people; remove those who left")
            if new.tenant is not None:
                tenant = {"id": new.tenant, "policy": {}, "created_at": datetime.now(UTC)}
                connection.execute(insert_new(table(TenantRow)).values(tenant).on_conflict_do_nothing())
            added = insert_new(_people).values(row).on_conflict_do_nothing()
            found = connection.execute(added.returning(*_people.c)).first()
            if found is None:
                raise Conflict(f"this address is a person of {new.tenant or 'the installation'} already")
            return _written(connection, _read(found), entry)

    def all(self, tenant: str | None, *, after: Position | None, limit: int) -> Page[Person]:
        """Return people, the newest first."""
        wanted = (
            select(_people)
            .where(owned(_person.tenant, tenant), behind(after, _person.created_at, _person.id))
            .order_by(_person.created_at.desc(), _person.id.desc())
            .limit(limit + 1)
        )
        with transaction(self._engine) as connection:
            rows = connection.execute(wanted).all()
        return page_of(rows, limit, [_read(row) for row in rows[:limit]], at="created_at")

    def find(self, tenant: str | None, person_id: str) -> Person | None:
        """Return one person, or None."""
        with transaction(self._engine) as connection:
            return _found(connection, tenant, person_id)

    def with_address(self, address: str) -> tuple[Person, ...]:
        """Return the people with this address."""
        wanted = select(_people).where(_person.address == address)
        with statement(self._engine) as connection:
            rows = connection.execute(wanted.order_by(_person.tenant.nulls_first())).all()
        return tuple(_read(row) for row in rows)

    def give(
        self, tenant: str | None, person_id: str, inboxes: tuple[str, ...], entry: NewEntry | None = None
    ) -> Person | None:
        """Let a person read these inboxes too."""
        with transaction(self._engine) as connection:
            person = _found(connection, tenant, person_id, lock=True)
            if person is None:
                return None
            all_ = sorted({*person.inboxes, *inboxes})
            if len(all_) > MOST_SCOPES:
                raise Conflict(f"a person has at most {MOST_SCOPES} inboxes; use @domain for the inboxes of a domain")
            return _changed(connection, person.id, entry, inboxes=all_)

    def take(
        self, tenant: str | None, person_id: str, inboxes: tuple[str, ...], entry: NewEntry | None = None
    ) -> Person | None:
        """Let a person no longer read these inboxes."""
        with transaction(self._engine) as connection:
            person = _found(connection, tenant, person_id, lock=True)
            if person is None:
                return None
            left = [one for one in person.inboxes if one not in inboxes]
            return _changed(connection, person.id, entry, inboxes=left)

    def change_role(
        self, tenant: str | None, person_id: str, role: Role, entry: NewEntry | None = None
    ) -> Person | None:
        """Give a person of a tenant another role of it."""
        with transaction(self._engine) as connection:
            person = _found(connection, tenant, person_id, lock=True)
            if person is None:
                return None
            if person.role.is_of_a_tenant is not role.is_of_a_tenant:
                raise Conflict("an operator belongs to no tenant: remove this person, and add one with the new role")
            return _changed(connection, person.id, entry, role=role.value)

    def choose(
        self, person_id: str, *, language: str | None, zone: str | None, entry: NewEntry | None = None
    ) -> Person | None:
        """Store a person's own language and time zone."""
        with transaction(self._engine) as connection:
            person = _found(connection, None, person_id, lock=True)
            return _changed(connection, person.id, entry, language=language, zone=zone) if person else None

    def remove(self, tenant: str | None, person_id: str, entry: NewEntry | None = None) -> Person | None:
        """Remove a person; sessions and links go with the row."""
        if (uuid := uuid_of(person_id)) is None:
            return None
        gone = delete(_people).where(_person.id == uuid, owned(_person.tenant, tenant)).returning(*_people.c)
        with transaction(self._engine) as connection:
            row = connection.execute(gone).first()
            return _written(connection, _read(row), entry) if row else None


class SqlSessions:
    """The port `Sessions` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, person_id: str, *, idle: timedelta, lasts: timedelta) -> str | None:
        """Begin a session and return its secret; sessions of this person that ended long ago are deleted."""
        secret = new_secret()
        with transaction(self._engine) as connection:
            person = _found(connection, None, person_id, lock=True)
            if person is None:
                return None
            old = (_session.person_id == UUID(person.id), _session.ends_at < func.now() - _KEPT)
            connection.execute(delete(_sessions).where(*old))
            row: dict[str, Any] = {"sha256": secret_digest(secret), "person_id": UUID(person.id)}
            row |= {"created_at": func.now(), "last_seen_at": func.now(), "idle_s": int(idle.total_seconds())}
            row |= {"idle_ends_at": func.now() + idle, "ends_at": func.now() + lasts}
            connection.execute(insert(_sessions).values(row))
            connection.execute(update(_people).where(_person.id == UUID(person.id)).values(last_seen_at=func.now()))
        return secret

    def holder(self, sha256: str) -> Holder | None:
        """Return the person of the session, as the row is now."""
        wanted = select(_people).join(_sessions, _session.person_id == _person.id)
        with statement(self._engine) as connection:
            row = connection.execute(wanted.where(_session.sha256 == sha256, *_works)).first()
        return _read(row).holder() if row else None

    def touch(self, sha256: str) -> None:
        """Record that the session is used now, at most once a minute."""
        idle_ends_at = func.now() + _session.idle_s * text("interval '1 second'")
        stale = update(_sessions).where(_session.sha256 == sha256, *_works, _session.last_seen_at < func.now() - _NOTED)
        used = (
            stale.values(last_seen_at=func.now(), idle_ends_at=idle_ends_at).returning(_session.person_id).cte("used")
        )
        seen = update(_people).where(_person.id.in_(select(used.c.person_id))).values(last_seen_at=func.now())
        with statement(self._engine) as connection:
            connection.execute(seen.add_cte(used))

    def end(self, sha256: str) -> None:
        """End a session."""
        ended = update(_sessions).where(_session.sha256 == sha256, _session.ended_at.is_(None))
        with statement(self._engine) as connection:
            connection.execute(ended.values(ended_at=func.now()))

    def end_all(self, person_id: str) -> int:
        """End all sessions of a person and use up the links; return how many sessions were going on."""
        if (uuid := uuid_of(person_id)) is None:
            return 0
        ended = update(_sessions).where(_session.person_id == uuid, *_works)
        unused = update(_links).where(_link.person_id == uuid, _link.used_at.is_(None))
        with transaction(self._engine) as connection:
            connection.execute(unused.values(used_at=func.now()))
            gone = connection.execute(ended.values(ended_at=func.now()).returning(_session.sha256)).all()
        return len(gone)


class SqlSignInLinks:
    """The port `SignInLinks` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def ask(self, person_id: str, path: str) -> str | None:
        """Prepare a link without a secret; of concurrent calls for one person each waits for the other, so the limit holds."""
        with transaction(self._engine) as connection:
            person = _found(connection, None, person_id, lock=True)
            if person is None:
                return None
            his = _link.person_id == UUID(person.id)
            connection.execute(delete(_links).where(his, _link.asked_at < func.now() - _KEPT))
            lately = select(func.count()).where(his, _link.asked_at > func.now() - LINKS_WITHIN)
            if connection.execute(lately).scalar_one() >= MOST_LINKS:
                return None
            return str(_prepared(connection, person.id, path))

    def issue(self, link_id: str, address: str) -> str | None:
        """Give a prepared link its secret."""
        if (uuid := uuid_of(link_id)) is None:
            return None
        secret = new_secret()
        recent = (_link.id == uuid, _link.used_at.is_(None), _link.asked_at > func.now() - LINKS_WITHIN)
        his = _link.person_id.in_(select(_person.id).where(_person.address == address))
        issued = (
            update(_links).where(*recent, his).values(sha256=secret_digest(secret), ends_at=func.now() + LINK_LASTS)
        )
        with statement(self._engine) as connection:
            return secret if connection.execute(issued.returning(_link.id)).first() else None

    def make(self, person_id: str, path: str) -> str | None:
        """Make a link with its secret at once."""
        secret = new_secret()
        with transaction(self._engine) as connection:
            person = _found(connection, None, person_id, lock=True)
            if person is None:
                return None
            values = {"sha256": secret_digest(secret), "ends_at": func.now() + LINK_LASTS}
            _prepared(connection, person.id, path, **values)
        return secret

    def find(self, sha256: str) -> SignIn | None:
        """Return who would sign in with the link."""
        wanted = select(_people, _link.path).join(_links, _link.person_id == _person.id)
        with statement(self._engine) as connection:
            row = connection.execute(wanted.where(_link.sha256 == sha256, *_is_usable)).first()
        return SignIn(_read(row), row.path) if row else None

    def take(self, sha256: str) -> SignIn | None:
        """Use a link up: the row is updated once, by the first caller."""
        used = update(_links).where(_link.sha256 == sha256, *_is_usable).values(used_at=func.now())
        with transaction(self._engine) as connection:
            row = connection.execute(used.returning(_link.person_id, _link.path)).first()
            person = _found(connection, None, str(row.person_id)) if row else None
        return SignIn(person, row.path) if row and person else None


def _prepared(connection: Connection, person_id: str, path: str, **values: Any) -> UUID:
    link_id = uuid4()
    row = {"id": link_id, "person_id": UUID(person_id), "path": path, "asked_at": func.now()} | values
    connection.execute(insert(_links).values(row))
    return link_id


def _found(connection: Connection, tenant: str | None, person_id: str, *, lock: bool = False) -> Person | None:
    if (uuid := uuid_of(person_id)) is None:
        return None
    wanted = select(_people).where(_person.id == uuid, owned(_person.tenant, tenant))
    row = connection.execute(wanted.with_for_update() if lock else wanted).first()
    return _read(row) if row else None


def _changed(connection: Connection, person_id: str, entry: NewEntry | None, **values: Any) -> Person:
    changed = update(_people).where(_person.id == UUID(person_id)).values(values).returning(*_people.c)
    return _written(connection, _read(connection.execute(changed).one()), entry)


def _written(connection: Connection, person: Person, entry: NewEntry | None) -> Person:
    """Write into the trail what was done to this person, in the transaction that does it."""
    write_within(connection, entry and replace(entry, tenant=person.tenant, of=person.id))
    return person


def _read(row: Row[Any]) -> Person:
    """Return a stored person. A role that this release does not know, and inboxes that cannot be read, allow nothing."""
    role = Role(row.role) if row.role in set(Role) else Role.MEMBER
    known = isinstance(row.inboxes, list) and row.role in set(Role)
    inboxes = tuple(one for one in row.inboxes if isinstance(one, str)) if known else ()
    return Person(
        id=str(row.id),
        address=row.address,
        role=role,
        tenant=row.tenant,
        inboxes=inboxes,
        created_at=row.created_at,
        added_by=row.added_by,
        last_seen_at=row.last_seen_at,
        language=row.language,
        zone=row.zone,
    )
