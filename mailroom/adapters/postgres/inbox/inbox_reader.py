"""Queries of inboxes, items and received e-mails in SQL: each is one or two statements under one tenant.

Items are read by `ix_inbox_item_recipient` (tenant, recipient, received_at, id). An administrator's query names all tenants,
so that it uses the same index. Words are searched by `ix_inbox_item_words`, windows by `ix_inbox_item_listed`.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Engine, Subquery, and_, exists, func, or_, select, text, true

from mailroom.adapters.postgres.archive.findings import damage
from mailroom.adapters.postgres.archive.receipts import receipts_of
from mailroom.adapters.postgres.engine import refuse_unfit, transaction
from mailroom.adapters.postgres.inbound.reasons import has_reason
from mailroom.adapters.postgres.inbox import item_rows, lists, partials
from mailroom.adapters.postgres.inbox.columns import attachment_of
from mailroom.adapters.postgres.inbox.listing import LISTED_AT, listed_until, within
from mailroom.adapters.postgres.inbox.search_index import OLD_WORDS, matches
from mailroom.adapters.postgres.inbox.visible_to import item_owned, of_inboxes, owned, routed_to
from mailroom.adapters.postgres.models import (
    AddressRow,
    AttachmentRow,
    InboundEmailRow,
    InboxItemRow,
)
from mailroom.adapters.postgres.operations import counting
from mailroom.adapters.postgres.paging import behind, page_of, uuid_of
from mailroom.adapters.postgres.skipped_rows import readable, stepping_over
from mailroom.adapters.postgres.tenants.directory import starred_at
from mailroom.domain.inbound.received_email import Attachment, State
from mailroom.domain.inbound.routing import is_starred, parents, takes
from mailroom.domain.inbox.marks import EVERY_ITEM, MarkFilter
from mailroom.domain.inbox.search_query import Search, parse_search
from mailroom.ports.inbox_reader import (
    Beside,
    Census,
    EmailLine,
    FiledItem,
    InboxLine,
    ItemLine,
    Page,
    Position,
    UnreadCount,
    Window,
)
from mailroom.ports.monitoring import Loop

_address = AddressRow.__table__.c  # type: ignore[attr-defined]
_attachment = AttachmentRow.__table__.c  # type: ignore[attr-defined]
_email = InboundEmailRow.__table__.c  # type: ignore[attr-defined]
_item = InboxItemRow.__table__.c  # type: ignore[attr-defined]

_Line = TypeVar("_Line", ItemLine, EmailLine)


class SqlInboxReader:
    """The port `InboxReader` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def inboxes(self, tenant: str | None, *, limit: int, only: Collection[str] | None = None) -> list[InboxLine]:
        """Return the addresses that receive; a domain's inboxes appear with their first item."""
        known, filled = _known(tenant), _filled(tenant)
        same = and_(known.c.tenant == filled.c.tenant, known.c.pattern == filled.c.recipient)
        address = func.coalesce(known.c.pattern, filled.c.recipient).label("address")
        wanted = (
            select(
                address,
                func.coalesce(known.c.tenant, filled.c.tenant).label("tenant"),
                func.coalesce(known.c.user_name, filled.c.user_name).label("user"),
                func.coalesce(filled.c.filed, 0).label("items"),
                filled.c.newest,
            )
            .select_from(known.join(filled, same, full=True))
            .where(true() if only is None else of_inboxes(address.element, only))
            .order_by(filled.c.newest.desc().nulls_last(), address)
            .limit(limit)
        )
        with transaction(self._engine) as connection:
            return [InboxLine(**row._mapping) for row in connection.execute(wanted)]

    def inbox_of(self, tenant: str | None, item_id: str) -> str | None:
        """Return the address whose inbox has the item, or None."""
        if (uuid := uuid_of(item_id)) is None:
            return None
        wanted = select(_item.recipient).where(_item.id == uuid, owned(_item.tenant, tenant))
        with transaction(self._engine) as connection:
            return connection.execute(wanted).scalar_one_or_none()

    def receives(self, tenant: str | None, address: str) -> bool:
        """Return whether `address` is an inbox of this tenant."""
        domain = address.rpartition("@")[2]
        could = or_(_address.pattern.in_([address, f"@{domain}"]), starred_at([domain, *parents(domain)]))
        listed = select(_address.pattern).where(could, owned(_address.tenant, tenant))
        filled = exists().where(_item.recipient == address, item_owned(tenant))
        with transaction(self._engine) as connection:
            patterns = connection.execute(listed).scalars().all()
            if any(not is_starred(pattern) or takes(pattern, address) for pattern in patterns):
                return True
            return bool(connection.execute(select(filled)).scalar_one())

    def items(
        self,
        tenant: str | None,
        address: str,
        *,
        after: Position | None,
        limit: int,
        question: str = "",
        window: Window | None = None,
        marks: MarkFilter = EVERY_ITEM,
    ) -> Page[ItemLine]:
        """Return items of `address`, without their texts."""
        search = self._search(question)
        if search.finds_nothing:
            return Page(())
        at = LISTED_AT if window else _item.received_at
        newest_first = at.desc(), _item.id.desc()
        # The page is chosen first, or a search would join e-mail and attachments of everything that it finds.
        chosen = (
            select(_item.id)
            .where(_item.recipient == address, item_owned(tenant), lists.marked(marks))
            .where(behind(after, at, _item.id), matches(search), within(at, window))
            .order_by(*newest_first)
            .limit(limit + 1)
            .cte("chosen")
            .prefix_with("materialized", dialect="postgresql")
        )
        with stepping_over(self._engine, Loop.LISTS, "item") as usable, transaction(self._engine) as connection:
            if question:
                # A rare and a common word need different plans: a generic one would be good for neither.
                connection.execute(text("set local plan_cache_mode = force_custom_plan"))
            rows = lists.lines_of(connection, chosen, newest_first)
            lines = usable(rows[:limit], item_rows.item_line)
            return page_of(rows, limit, lines, at="listed_at" if window else "received_at")

    def mail(
        self,
        tenant: str | None,
        *,
        only: Collection[str] | None,
        after: Position | None,
        limit: int,
        question: str = "",
        marks: MarkFilter = EVERY_ITEM,
    ) -> Page[ItemLine]:
        """Return items of several inboxes in one list."""
        search = self._search(question)
        if search.finds_nothing:
            return Page(())
        wanted = lists.Wanted(tenant, only, search, marks, after)
        with stepping_over(self._engine, Loop.LISTS, "item") as usable, transaction(self._engine) as connection:
            rows = lists.rows_of(connection, wanted, limit + 1)
            return page_of(rows, limit, usable(rows[:limit], item_rows.item_line), at="received_at")

    def beside(
        self,
        tenant: str | None,
        item_id: str,
        *,
        only: Collection[str] | None,
        question: str = "",
        marks: MarkFilter = EVERY_ITEM,
    ) -> Beside:
        """Return the items before and after the place of this one."""
        search, uuid = self._search(question), uuid_of(item_id)
        here = select(_item.received_at).where(_item.id == uuid, owned(_item.tenant, tenant))
        with transaction(self._engine) as connection:
            at = connection.execute(here).scalar_one_or_none() if uuid else None
            if at is None or search.finds_nothing:
                return Beside(None, None)
            ways = (
                lists.Wanted(tenant, only, search, marks, Position(at, str(uuid)), newer) for newer in (True, False)
            )
            return Beside(*[lists.first_of(connection, one) for one in ways])

    def unread(self, tenant: str, *, only: Collection[str] | None, limit: int) -> list[UnreadCount]:
        """Return inboxes with the number of their unread items."""
        with transaction(self._engine) as connection:
            return lists.unread_of(connection, tenant, only, limit)

    def _search(self, question: str) -> Search:
        search = parse_search(question)
        if search.has_unfolded and not self._has_old_words():
            # PostgreSQL expects more of two forms than of one, and would rather read the whole inbox for a rare word.
            return search.folded_only()
        return search

    def _has_old_words(self) -> bool:
        with transaction(self._engine) as connection:
            return bool(connection.execute(select(exists().select_from(InboxItemRow).where(OLD_WORDS))).scalar_one())

    def listed_until(self) -> datetime:
        """Return the time before which every filing has committed."""
        with transaction(self._engine) as connection:
            return listed_until(connection)

    def item(self, tenant: str | None, item_id: str) -> FiledItem | None:
        """Return one item with its attachments and their deposit receipts, or None."""
        uuid = uuid_of(item_id)
        wanted = (
            select(
                *[column for column in _item if column is not _item.words],
                *(_email.envelope, _email.scan, _email.run_id, _email.unrouted),
            )
            .join_from(InboxItemRow, InboundEmailRow, _email.id == _item.email_id)
            .where(_item.id == uuid, owned(_item.tenant, tenant))
        )
        parts = select(AttachmentRow.__table__).where(_attachment.item_id == uuid)  # type: ignore[attr-defined]
        with transaction(self._engine) as connection:
            row = connection.execute(wanted).first() if uuid else None
            if row is None:
                return None
            attachments = [_attachment_of(part) for part in connection.execute(parts.order_by(_attachment.number))]
            kept = {row.raw_archive_id, *(part.archive_id for part in attachments)}
            deposits = receipts_of(kept, damage().label("damage"))
            kept_of = list(connection.execute(deposits))
            filed = readable(
                lambda one: item_rows.filed_item(one, attachments, kept_of, internal=tenant is None), row, kind="item"
            )
            return partials.with_partials(connection, filed) if filed and row.partial_id else filed

    def attachment(self, tenant: str | None, item_id: str, number: int) -> Attachment | None:
        """Return one attachment without its bytes, or None."""
        uuid = uuid_of(item_id)
        wanted = (
            select(AttachmentRow.__table__)  # type: ignore[attr-defined]
            .join_from(AttachmentRow, InboxItemRow, _item.id == _attachment.item_id)
            .where(_item.id == uuid, _attachment.number == number, owned(_item.tenant, tenant))
            .where(_item.withdrawn_at.is_(None))
        )
        if uuid is None or not 0 < number < 2**31:
            return None
        with transaction(self._engine) as connection:
            row = connection.execute(wanted).first()
            return _attachment_of(row) if row else None

    def emails(
        self,
        tenant: str | None,
        *,
        states: Sequence[State],
        reason: str | None,
        since: datetime | None,
        after: Position | None,
        limit: int,
        until: datetime | None = None,
    ) -> Page[EmailLine]:
        """Return received e-mails, newest first."""
        conditions = [routed_to(tenant), behind(after, _email.received_at, _email.id)]
        if states:
            conditions.append(_email.state.in_([state.value for state in states]))
        if reason is not None:
            conditions.append(has_reason(_email.reason, reason))
        if since is not None:
            conditions.append(_email.received_at >= since)
        if until is not None:
            conditions.append(_email.received_at < until)
        newest_first = _email.received_at.desc(), _email.id.desc()
        wanted = select(InboundEmailRow.__table__).where(*conditions).order_by(*newest_first).limit(limit + 1)  # type: ignore[attr-defined]
        with stepping_over(self._engine, Loop.LISTS, "e-mail") as usable, transaction(self._engine) as connection:
            rows = connection.execute(wanted).all()
            lines = usable(rows[:limit], lambda row: item_rows.email_line(row, internal=tenant is None))
            return page_of(rows, limit, lines, at="received_at")

    def email(self, tenant: str | None, email_id: str) -> EmailLine | None:
        """Return one received e-mail, or None."""
        uuid = uuid_of(email_id)
        if uuid is None:
            return None
        wanted = select(InboundEmailRow.__table__).where(_email.id == uuid, routed_to(tenant))  # type: ignore[attr-defined]
        with transaction(self._engine) as connection:
            row = connection.execute(wanted).first()
            make = partial(item_rows.email_line, internal=tenant is None)
            return readable(make, row, kind="e-mail") if row else None

    def census(self) -> Census:
        """Return the counts of the whole installation."""
        with transaction(self._engine) as connection:
            return counting.census(connection)

    def ping(self) -> None:
        """Return if the database answers and its schema fits now, checked at once, for a load balancer."""
        refuse_unfit(self._engine)


def _attachment_of(row: Any) -> Attachment:
    return readable(attachment_of, row, kind="attachment", name=f"{row.number} of item {row.item_id}")


def _known(tenant: str | None) -> Subquery:
    columns = select(_address.tenant, _address.pattern, _address.user_name)
    return columns.where(owned(_address.tenant, tenant)).subquery()


def _filled(tenant: str | None) -> Subquery:
    """Return the count of each inbox from the index alone; a column outside it is looked up once per inbox, not per item."""
    newest = func.max(_item.received_at).label("newest")
    counted = (
        select(_item.tenant, _item.recipient, newest, func.count().label("filed"))
        .where(owned(_item.tenant, tenant), _item.withdrawn_at.is_(None))
        .group_by(_item.tenant, _item.recipient)
        .subquery()
    )
    other = InboxItemRow.__table__.alias().c  # type: ignore[attr-defined]
    user_name = (
        select(other.user_name)
        .where(other.tenant == counted.c.tenant, other.recipient == counted.c.recipient)
        .order_by(other.received_at.desc())
        .limit(1)
        .scalar_subquery()
        .label("user_name")
    )
    return select(counted, user_name).subquery()
