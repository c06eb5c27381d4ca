"""API keys in SQL. All times are the database's, so that a key ends at the same moment for every process.

Earlier releases look a key up by its digest and know neither scopes nor an end. A key that they would let do too much, which is
every one made or ended here, is stored with `LIMITED` before its digest: they do not find it, and refuse it.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, case, false, func, insert, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as insert_new

from mailroom.adapters.postgres.engine import statement, transaction
from mailroom.adapters.postgres.inbox.visible_to import owned
from mailroom.adapters.postgres.models import ApiKeyRow, TenantRow, table
from mailroom.adapters.postgres.paging import behind, page_of, uuid_of
from mailroom.adapters.postgres.tenants.trail import write_within
from mailroom.domain.api_keys import EVERYTHING
from mailroom.domain.errors import Conflict
from mailroom.ports.api_keys import MOST_LIVE, Holder, KeyLine, KeyState, NewKey, not_rotated
from mailroom.ports.inbox_reader import Page, Position
from mailroom.ports.trail import NewEntry

#: Before the digest of a key that only releases with scopes may accept.
LIMITED = "2:"
#: A use is written again after this time.
_NOTED = timedelta(minutes=1)

_keys = table(ApiKeyRow)
_key = _keys.c
_has_ended = func.coalesce(_key.ends_at <= func.now(), false())
_is_live = _key.revoked_at.is_(None) & ~_has_ended
_state = case((_key.revoked_at.is_not(None), KeyState.REVOKED), (_has_ended, KeyState.ENDED), else_=KeyState.ACTIVE)
_COLUMNS: tuple[Any, ...] = (
    *(_key.id, _key.name, _key.tenant, _key.scopes, _key.starts, _key.created_at, _key.made_by, _key.ends_at),
    *(_key.last_used_at, _key.revoked_at, _key.revoked_by, _key.replaced_by),
    _state.label("state"),
)


class SqlApiKeys:
    """The port `ApiKeys` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def holder(self, sha256: str) -> Holder | None:
        """Return the holder of the key, or None; the time of looking up a digest reveals nothing about the key."""
        wanted = select(_key.id, _key.name, _key.tenant, _key.scopes, _key.ends_at)
        with statement(self._engine) as connection:
            row = connection.execute(wanted.where(_key.sha256.in_([sha256, f"{LIMITED}{sha256}"]), _is_live)).first()
        return Holder(row.name, row.tenant, _scopes_of(row.scopes), row.ends_at, str(row.id)) if row else None

    def used(self, key_ids: Collection[str]) -> None:
        """Record that these keys were used now; one recorded within the last minute is left as it is."""
        stale = or_(_key.last_used_at.is_(None), _key.last_used_at < func.now() - _NOTED)
        noted = update(_keys).where(_key.id.in_([UUID(one) for one in key_ids]), stale).values(last_used_at=func.now())
        with statement(self._engine) as connection:
            connection.execute(noted)

    def add(self, new: NewKey, entry: NewEntry | None = None) -> KeyLine:
        """Add a key, and its tenant when that is new."""
        values = {"name": new.name, "tenant": new.tenant, "scopes": list(new.scopes), "ends_at": new.ends_at}
        with transaction(self._engine) as connection:
            if new.tenant is not None:
                row = {"id": new.tenant, "policy": {}, "created_at": datetime.now(UTC)}
                connection.execute(insert_new(table(TenantRow)).values(row).on_conflict_do_nothing())
            line = _added(connection, values, sha256=new.sha256, starts=new.starts, by=new.made_by)
            write_within(connection, entry and replace(entry, tenant=line.tenant, of=line.id))
            return line

    def all(self, tenant: str | None, *, after: Position | None, limit: int) -> Page[KeyLine]:
        """Return keys with ended and revoked ones, the newest first."""
        wanted = (
            select(*_COLUMNS)
            .where(owned(_key.tenant, tenant), behind(after, _key.created_at, _key.id))
            .order_by(_key.created_at.desc(), _key.id.desc())
            .limit(limit + 1)
        )
        with transaction(self._engine) as connection:
            rows = connection.execute(wanted).all()
        return page_of(rows, limit, [_line(row) for row in rows[:limit]], at="created_at")

    def find(self, tenant: str | None, key_id: str) -> KeyLine | None:
        """Return one key, or None."""
        with transaction(self._engine) as connection:
            return _found(connection, tenant, key_id)

    def revoke(self, tenant: str | None, key_id: str, *, by: str) -> KeyLine | None:
        """Revoke a key; a revoked one stays as it is."""
        with transaction(self._engine) as connection:
            line = _found(connection, tenant, key_id, lock=True)
            if line is None or line.state is KeyState.REVOKED:
                return line
            return _changed(connection, line.id, revoked_at=func.now(), revoked_by=by)

    def rotate(
        self, tenant: str | None, key_id: str, *, sha256: str, starts: str, overlap: timedelta, by: str
    ) -> tuple[KeyLine, KeyLine] | None:
        """Add a key like this one, which ends after `overlap`; return the new and this one."""
        with transaction(self._engine) as connection:
            old = _found(connection, tenant, key_id, lock=True)
            if old is None:
                return None
            if fault := not_rotated(old):
                raise Conflict(fault)
            lasts = func.now() + (old.ends_at - old.created_at) if old.ends_at is not None else None
            values = {"name": old.name, "tenant": old.tenant, "scopes": list(old.scopes), "ends_at": lasts}
            new = _added(connection, values, sha256=sha256, starts=starts, by=by)
            # PostgreSQL's `least` ignores a null.
            sooner = func.least(_key.ends_at, func.now() + overlap)
            return new, _changed(connection, old.id, ends_at=sooner, replaced_by=UUID(new.id))


def _added(connection: Connection, values: dict[str, Any], *, sha256: str, starts: str, by: str) -> KeyLine:
    """Add a row.

    Raises:
        Conflict: the tenant has too many live keys.
    """
    tenant = values["tenant"]
    whose = _key.tenant.is_(None) if tenant is None else _key.tenant == tenant
    live = connection.execute(select(func.count()).where(whose, _is_live)).scalar_one()
    if live >= MOST_LIVE:
        raise Conflict(f"there are {MOST_LIVE} keys that have not ended; revoke those that are not used")
    key_id, digest = uuid4(), f"{LIMITED}{sha256}"
    row = values | {"id": key_id, "sha256": digest, "starts": starts, "made_by": by, "created_at": func.now()}
    connection.execute(insert(_keys).values(row))
    return _of_id(connection, key_id)


def _changed(connection: Connection, key_id: str, **values: Any) -> KeyLine:
    """Change a row; from then on earlier releases, which would not know of it, refuse the key."""
    digest = case((_key.sha256.startswith(LIMITED), _key.sha256), else_=literal(LIMITED) + _key.sha256)
    connection.execute(update(_keys).where(_key.id == UUID(key_id)).values(sha256=digest, **values))
    return _of_id(connection, UUID(key_id))


def _found(connection: Connection, tenant: str | None, key_id: str, *, lock: bool = False) -> KeyLine | None:
    if (uuid := uuid_of(key_id)) is None:
        return None
    wanted = select(*_COLUMNS).where(_key.id == uuid, owned(_key.tenant, tenant))
    row = connection.execute(wanted.with_for_update() if lock else wanted).first()
    return _line(row) if row else None


def _of_id(connection: Connection, key_id: UUID) -> KeyLine:
    return _line(connection.execute(select(*_COLUMNS).where(_key.id == key_id)).one())


def _line(row: Any) -> KeyLine:
    return KeyLine(
        id=str(row.id),
        name=row.name,
        tenant=row.tenant,
        scopes=_scopes_of(row.scopes),
        state=KeyState(row.state),
        created_at=row.created_at,
        made_by=row.made_by,
        starts=row.starts,
        ends_at=row.ends_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
        revoked_by=row.revoked_by,
        replaced_by=str(row.replaced_by) if row.replaced_by else None,
    )


def _scopes_of(stored: Any) -> tuple[str, ...]:
    """Return the stored scopes; null is a key from before there were any. What cannot be read allows nothing."""
    if stored is None:
        return EVERYTHING
    return tuple(one for one in stored if isinstance(one, str)) if isinstance(stored, list) else ()
