"""Lists of items, newest first: of one inbox, and of several inboxes as one list.

A page is chosen by indexes alone, and only its rows are joined with e-mail and attachments. A list of inboxes that are named is
merged from them: the page's items are in the inboxes with the newest items, as many as the page has lines, so only those are
read. That costs one step in the index for each inbox, whatever they hold. Other lists, and searches, follow the tenant's index
and leave out what is in other inboxes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    and_,
    case,
    exists,
    func,
    literal,
    null,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, TEXT, aggregate_order_by

from mailroom.adapters.postgres.inbox.listing import LISTED_AT
from mailroom.adapters.postgres.inbox.search_index import matches
from mailroom.adapters.postgres.inbox.visible_to import item_owned, of_inboxes, owned
from mailroom.adapters.postgres.models import AttachmentRow, InboundEmailRow, InboxItemRow, TenantRow, table
from mailroom.domain.inbound.routing import is_starred
from mailroom.domain.inbox.marks import EVERY_ITEM, MarkFilter
from mailroom.domain.inbox.search_query import Search
from mailroom.domain.inbox.snippets import OF_HTML, OF_TEXT
from mailroom.ports.inbox_reader import MOST_COUNTED, MOST_NAMES, Position, UnreadCount

_items, _attachments = table(InboxItemRow), table(AttachmentRow)
_item, _attachment, _email = _items.c, _attachments.c, table(InboundEmailRow).c
_tenant = table(TenantRow).c
#: The condition of `ix_inbox_item_newest` and its like: always true, and in no other query.
_OF_TENANT = func.coalesce(_item.recipient, _item.tenant).is_not(None)
_BLANKS = " \t\r\n\u00a0"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which items of which inboxes, from where on: after `at` in the list's order, or before it with `newer`."""

    tenant: str | None
    only: Collection[str] | None
    search: Search
    marks: MarkFilter
    at: Position | None
    newer: bool = False

    @property
    def addresses(self) -> list[str] | None:
        """The inboxes, if all of them are named."""
        if self.only is None or any(one.startswith("@") or is_starred(one) for one in self.only):
            return None
        return sorted(set(self.only))


def marked(marks: MarkFilter) -> ColumnElement[bool]:
    """Return the condition that an item is not withdrawn and has these marks, as the indexes' conditions are written."""
    conditions = [_item.withdrawn_at.is_(None)]
    for column, is_null in ((_item.done_at, marks.done is False), (_item.read_at, marks.unread is True)):
        wanted = marks.done if column is _item.done_at else marks.unread
        if wanted is not None:
            conditions.append(column.is_(None) if is_null else column.is_not(None))
    return and_(*conditions)


def lines_of(connection: Connection, chosen: CTE, newest_first: Sequence[Any]) -> Sequence[Row[Any]]:
    """Return the rows of a list's lines for the items whose ids were chosen."""
    files = (
        select(_attachment.number, _attachment.filename)
        .where(_attachment.item_id == _item.id, _attachment.inline.is_(False))
        .correlate(_items)
    )
    first = files.order_by(_attachment.number).limit(MOST_NAMES).subquery()
    names = select(func.array_agg(aggregate_order_by(first.c.filename, first.c.number))).scalar_subquery()
    count = select(func.count()).select_from(files.subquery()).scalar_subquery()
    beginning = func.left(_item.text, OF_TEXT)
    wanted = (
        select(_item.id, _item.email_id, _item.tenant, _item.recipient, _item.subject, _item["from"])
        .add_columns(_item.defects, _item.received_at, _email.envelope, LISTED_AT.label("listed_at"))
        .add_columns(_item.read_at, _item.read_by, _item.done_at, _item.done_by)
        .add_columns(count.label("attachments"), names.label("file_names"), beginning.label("text_begin"))
        .add_columns(_html_begin(beginning).label("html_begin"))
        .select_from(chosen.join(_items, _item.id == chosen.c.id))
        .join(InboundEmailRow, _email.id == _item.email_id)
        .order_by(*newest_first)
    )
    return connection.execute(wanted).all()


def rows_of(connection: Connection, wanted: Wanted, limit: int) -> Sequence[Row[Any]]:
    """Return the rows of the lines of a list of several inboxes."""
    if wanted.search.ways:
        # As for one inbox: a rare and a common word need different plans.
        connection.execute(text("set local plan_cache_mode = force_custom_plan"))
    chosen = _chosen(wanted, limit).cte("chosen").prefix_with("materialized", dialect="postgresql")
    return lines_of(connection, chosen, _order(_item, newer=wanted.newer))


def first_of(connection: Connection, wanted: Wanted) -> str | None:
    """Return the id of the first item of a list."""
    row = connection.execute(_chosen(wanted, 1)).first()
    return str(row.id) if row else None


def unread_of(connection: Connection, tenant: str, only: Collection[str] | None, limit: int) -> list[UnreadCount]:
    """Return inboxes with the number of their unread items."""
    named = sorted({one for one in only or () if not one.startswith("@") and not is_starred(one)})
    found: set[str] = set(named)
    if only is None or len(named) < len(set(only)):
        found |= set(connection.execute(_filled(tenant, only, limit)).scalars())
    if not found:
        return []
    listed = _named(sorted(found)[:limit])
    address = listed.c.address
    unread = (
        select(literal(1))
        .where(_item.tenant == tenant, _item.recipient == address, marked(MarkFilter(unread=True)))
        .limit(MOST_COUNTED)
        .correlate(listed)
        .subquery()
    )
    counted = select(address, select(func.count()).select_from(unread).scalar_subquery().label("unread"))
    return sorted(
        (UnreadCount(row.address, row.unread) for row in connection.execute(counted)), key=lambda one: one.address
    )


def _chosen(wanted: Wanted, limit: int) -> Select[Any]:
    """Return id and time of the first items of a list."""
    addresses = wanted.addresses
    if addresses is not None and len(addresses) == 1:
        return _top(wanted, and_(item_owned(wanted.tenant), _item.recipient == addresses[0]), limit)
    if addresses is not None and not wanted.search.ways:
        named = _named(addresses)
        inboxes = select(_tenant.id.label("tenant"), named.c.address).select_from(table(TenantRow).join(named, true()))
        return _merged(wanted, inboxes.where(owned(_tenant.id, wanted.tenant)), limit)
    if wanted.tenant is None:
        return _merged(wanted, select(_tenant.id.label("tenant")), limit)
    return _top(wanted, and_(_item.tenant == wanted.tenant, _inboxes(wanted)), limit)


def _inboxes(wanted: Wanted) -> ColumnElement[bool]:
    return _OF_TENANT if wanted.only is None else _OF_TENANT & of_inboxes(_item.recipient, wanted.only)


def _top(wanted: Wanted, which: ColumnElement[bool], limit: int) -> Select[Any]:
    """Return the first items that are `which`."""
    return (
        select(_item.id, _item.received_at)
        .where(which, marked(wanted.marks), matches(wanted.search), _beyond(wanted, _item))
        .order_by(*_order(_item, newer=wanted.newer))
        .limit(limit)
    )


def _merged(wanted: Wanted, which: Select[Any], limit: int) -> Select[Any]:
    """Return the first items of several inboxes, or tenants: of those with the newest items, for a page needs no more of them."""
    every = which.subquery()
    newest = _top_of(wanted, every, 1)
    first = (
        select(*every.c)
        .select_from(every.join(newest, true()))
        .order_by(*_order(newest.c, newer=wanted.newer))
        .limit(limit)
        .cte("first")
        .prefix_with("materialized", dialect="postgresql")
    )
    items = _top_of(wanted, first, limit)
    return (
        select(items.c.id, items.c.received_at)
        .select_from(first.join(items, true()))
        .order_by(*_order(items.c, newer=wanted.newer))
        .limit(limit)
    )


def _named(addresses: list[str]) -> FromClause:
    return select(func.unnest(literal(addresses, ARRAY(TEXT))).label("address")).subquery()


def _top_of(wanted: Wanted, each: FromClause, limit: int) -> Any:
    """Return the first items of each inbox, or tenant."""
    inbox = _item.recipient == each.c.address if "address" in each.c else _inboxes(wanted)
    return _top(wanted, and_(_item.tenant == each.c.tenant, inbox), limit).correlate(each).lateral()


def _beyond(wanted: Wanted, row: Any) -> ColumnElement[bool]:
    if wanted.at is None:
        return true()
    place = tuple_(row.received_at, row.id)
    here = (wanted.at.received_at, UUID(wanted.at.id))
    return place > here if wanted.newer else place < here


def _order(row: Any, *, newer: bool) -> tuple[Any, Any]:
    return (row.received_at.asc(), row.id.asc()) if newer else (row.received_at.desc(), row.id.desc())


def _html_begin(beginning: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the beginning of the HTML, where the text has none."""
    return case((func.coalesce(func.btrim(beginning, _BLANKS), "") == "", func.left(_item.html, OF_HTML)), else_=null())


def _filled(tenant: str, only: Collection[str] | None, limit: int) -> Select[Any]:
    """Return the inboxes with items that are not withdrawn, each found by one step in the index."""
    first = select(func.min(_item.recipient).label("address")).where(_item.tenant == tenant)
    filled = first.cte("filled", recursive=True)
    after = select(func.min(_item.recipient)).where(_item.tenant == tenant, _item.recipient > filled.c.address)
    filled = filled.union_all(select(after.scalar_subquery()).where(filled.c.address.is_not(None)))
    shown = exists().where(_item.tenant == tenant, _item.recipient == filled.c.address, marked(EVERY_ITEM))
    return (
        select(filled.c.address)
        .where(filled.c.address.is_not(None), shown)
        .where(true() if only is None else of_inboxes(filled.c.address, only))
        .limit(limit)
    )
