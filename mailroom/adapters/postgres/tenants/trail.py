"""The trail in SQL, with the database's time."""

from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, Row, false, func, insert, select, true

from mailroom.adapters.postgres.delivery.models import EndpointRow
from mailroom.adapters.postgres.engine import statement
from mailroom.adapters.postgres.inbox.visible_to import owned
from mailroom.adapters.postgres.models import ApiKeyRow, InboxItemRow, table
from mailroom.adapters.postgres.outbound.models import BatchRow, BreakerRow, MessageRow
from mailroom.adapters.postgres.paging import behind, page_of, uuid_of
from mailroom.adapters.postgres.tenants.models import TrailRow
from mailroom.domain.trail import About
from mailroom.ports.inbox_reader import Page, Position
from mailroom.ports.trail import Entry, NewEntry

_trail = table(TrailRow)
_entry = _trail.c
_OWNERS = {
    About.ITEM: table(InboxItemRow),
    About.MESSAGE: table(MessageRow),
    About.BATCH: table(BatchRow),
    About.KEY: table(ApiKeyRow),
    About.WEBHOOK: table(EndpointRow),
    About.BREAKER: table(BreakerRow),
}


class SqlTrail:
    """The port `Trail` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def write(self, entry: NewEntry) -> None:
        """Write an entry in one statement, which finds whose thing it is where that is not given."""
        with statement(self._engine) as connection:
            write_within(connection, entry)

    def entries(
        self, tenant: str | None, *, person_id: str | None = None, after: Position | None, limit: int
    ) -> Page[Entry]:
        """Return entries, the newest first."""
        uuid = uuid_of(person_id or "")
        by = true() if person_id is None else false() if uuid is None else _entry.person_id == uuid
        wanted = (
            select(_trail)
            .where(owned(_entry.tenant, tenant), by, behind(after, _entry.at, _entry.id))
            .order_by(_entry.at.desc(), _entry.id.desc())
            .limit(limit + 1)
        )
        with statement(self._engine) as connection:
            rows = connection.execute(wanted).all()
        return page_of(rows, limit, [_read(row) for row in rows[:limit]], at="at")


def write_within(connection: Connection, entry: NewEntry | None) -> None:
    """Write an entry, if there is one, in the transaction of what it is about."""
    if entry is None:
        return
    row: dict[str, Any] = {"id": uuid4(), "at": func.now(), "what": str(entry.what), "who": entry.who}
    row |= {"tenant": _owner(entry) if entry.tenant is None else entry.tenant}
    row |= {"of": entry.of, "person_id": uuid_of(entry.person_id or ""), "key_id": uuid_of(entry.key_id or "")}
    connection.execute(insert(_trail).values(row))


def _owner(entry: NewEntry) -> Any:
    """Return the tenant of the thing that an entry is about, as a query; None if it says nothing of one."""
    uuid = uuid_of((entry.of or "").partition("/")[0])
    if uuid is None or entry.what.about is None:
        return None
    owners = _OWNERS[entry.what.about]
    return select(owners.c.tenant).where(owners.c.id == uuid).scalar_subquery()


def _read(row: Row[Any]) -> Entry:
    ids = {name: str(value) if (value := getattr(row, name)) else None for name in ("person_id", "key_id")}
    return Entry(str(row.id), row.at, row.what, row.who, row.tenant, row.of, **ids)
