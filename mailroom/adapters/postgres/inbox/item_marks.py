"""Marks of items in SQL: each change is one conditional UPDATE, so that of two at once the first wins, and its history."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Engine, case, func, insert, null, select, update

from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.inbox.visible_to import owned
from mailroom.adapters.postgres.models import InboxItemRow, ItemMarkRow, table
from mailroom.adapters.postgres.outbound.rows import member_of
from mailroom.adapters.postgres.paging import uuid_of
from mailroom.domain.inbox.marks import Mark, Marking
from mailroom.ports.item_marks import Marked, MarkLine

_items, _marks = table(InboxItemRow), table(ItemMarkRow)
_item, _mark = _items.c, _marks.c
_STATE = (_item.id, _item.read_at, _item.read_by, _item.done_at, _item.done_by)
_MOST = 100


class SqlItemMarks:
    """The port `ItemMarks` on PostgreSQL, by the database's clock."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open(self, tenant: str | None, item_id: str, *, by: str) -> Marked | None:
        """Record that an item was opened, if it was not before."""
        values = {"read_at": func.now(), "read_by": by}
        return self._marked(tenant, item_id, Marking.READ, by, _item.read_at.is_(None), values)

    def done(self, tenant: str | None, item_id: str, *, by: str) -> Marked | None:
        """Record that an item is done."""
        first = _item.read_at.is_(None)
        values = {
            "done_at": func.now(),
            "done_by": by,
            "read_at": func.coalesce(_item.read_at, func.now()),
            "read_by": case((first, by), else_=_item.read_by),
        }
        return self._marked(tenant, item_id, Marking.DONE, by, _item.done_at.is_(None), values)

    def undo(self, tenant: str | None, item_id: str, *, by: str) -> Marked | None:
        """Record that an item is to do again."""
        values = {"done_at": null(), "done_by": null()}
        return self._marked(tenant, item_id, Marking.UNDONE, by, _item.done_at.is_not(None), values)

    def history(self, tenant: str | None, item_id: str) -> list[MarkLine]:
        """Return the last entries of an item's history."""
        if (uuid := uuid_of(item_id)) is None:
            return []
        wanted = (
            select(_mark.at, _mark.kind, _mark.by)
            .join_from(_marks, _items, _item.id == _mark.item_id)
            .where(_mark.item_id == uuid, owned(_item.tenant, tenant))
            .order_by(_mark.id.desc())
            .limit(_MOST)
        )
        with transaction(self._engine) as connection:
            rows = connection.execute(wanted).all()
        return [MarkLine(row.at, member_of(Marking, row.kind), row.by) for row in reversed(rows)]

    def _marked(
        self,
        tenant: str | None,
        item_id: str,
        kind: Marking,
        by: str,
        is_new: ColumnElement[bool],
        values: Mapping[str, Any],
    ) -> Marked | None:
        """Change an item that is not so yet, and add that to its history; return its state either way."""
        if (uuid := uuid_of(item_id)) is None:
            return None
        mine = (_item.id == uuid) & owned(_item.tenant, tenant) & _item.withdrawn_at.is_(None)
        with transaction(self._engine) as connection:
            row = connection.execute(update(_items).where(mine, is_new).values(values).returning(*_STATE)).first()
            if row is None:
                there = connection.execute(select(*_STATE).where(mine)).first()
                return _state(there, changed=False) if there else None
            connection.execute(insert(_marks).values(item_id=uuid, at=func.now(), kind=kind.value, by=by))
            return _state(row, changed=True)


def mark_of(at: Any, by: str | None) -> Mark | None:
    """Return a mark from its columns."""
    return None if at is None else Mark(at, by)


def _state(row: Any, *, changed: bool) -> Marked:
    return Marked(mark_of(row.read_at, row.read_by), mark_of(row.done_at, row.done_by), changed)
