"""Filing of inbox items: those of one e-mail are written in one transaction."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Text, bindparam, cast, func, select, update
from sqlalchemy.dialects.postgresql import TSVECTOR, insert

from mailroom.adapters.postgres.archive.journal import append_entries
from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.inbound.rows import check_attempt
from mailroom.adapters.postgres.inbox.columns import attachment_values, item_values
from mailroom.adapters.postgres.inbox.listing import FILING
from mailroom.adapters.postgres.inbox.reindexing import index_again
from mailroom.adapters.postgres.inbox.search_index import WORDS_VERSION, tsvector_of
from mailroom.adapters.postgres.inbox.withdrawing import entries_about
from mailroom.adapters.postgres.models import AttachmentRow, InboundEmailRow, InboxItemRow, table
from mailroom.adapters.postgres.skipped_rows import stepping_over
from mailroom.domain.archive.item_digests import item_digest, item_id
from mailroom.domain.archive.journal import JournalEntry, Kind
from mailroom.domain.inbound.received_email import Item
from mailroom.ports.monitoring import Loop

_attachments, _emails, _items = table(AttachmentRow), table(InboundEmailRow), table(InboxItemRow)

# Built once: building a statement with twenty values takes longer than executing it.
_line = (
    select(_emails.c.received_at, _emails.c.attempts, _emails.c.run_id, FILING)
    .where(_emails.c.id == bindparam("which"))
    .with_for_update(read=True)
)
_file = (
    insert(_items)
    .values(
        words=cast(bindparam("all_words", type_=Text), TSVECTOR),
        words_version=WORDS_VERSION,
        listed_at=func.clock_timestamp(),
    )
    .on_conflict_do_nothing(index_elements=["email_id", "tenant", "recipient"])
    .returning(_items.c.id)
)


class SqlInbox:
    """The port `Inbox` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def file(self, email_id: str, items: Sequence[Item], *, now: datetime, attempt: int | None = None) -> list[str]:
        """Put one item in each recipient's inbox, all or none, unless a later attempt has the e-mail."""
        with transaction(self._engine, "commit of file") as connection:
            # Locked until the items are there, so that no later attempt begins in between.
            row = connection.execute(_line, {"which": UUID(email_id)}).one()
            check_attempt(row, attempt)
            times = {"received_at": row.received_at, "filed_at": now}
            filed = [file_one(connection, UUID(email_id), item, times) for item in items]
            append_entries(connection, filed_entries(email_id, filed) + _changed_entries(UUID(email_id), filed))
            return [str(one.id) for one in filed]

    def index_again(self, *, limit: int) -> int:
        """Index the words of items again that an earlier release indexed."""
        skipping = stepping_over(self._engine, Loop.SWEEP_INBOUND, "item")
        with skipping as usable, transaction(self._engine) as connection:
            return index_again(connection, limit, usable)


@dataclass(frozen=True, slots=True)
class Filed:
    """An item in an inbox; `digest` is None if it was there already.

    Of one that was there, `became` says whether it is shown now that was withdrawn, or the other way round, with the reason.
    """

    id: UUID
    tenant: str
    digest: str | None = None
    became: Kind | None = None
    reason: str | None = None


def filed_entries(email_id: str, filed: Sequence[Filed]) -> list[JournalEntry]:
    """Return each tenant's entry of the items that are new."""
    items: dict[str, dict[str, str]] = {}
    for one in filed:
        if one.digest:
            items.setdefault(one.tenant, {})[str(one.id)] = one.digest
    return [JournalEntry(tenant, Kind.FILED, email_id, {"items": digests}) for tenant, digests in items.items()]


def _changed_entries(email_id: UUID, filed: Sequence[Filed]) -> list[JournalEntry]:
    """Return each tenant's entries of the items that are shown now, or not any more."""
    entries = []
    for kind, reason in sorted({(one.became, one.reason or "") for one in filed if one.became}):
        mine = ((one.tenant, one.id) for one in filed if (one.became, one.reason or "") == (kind, reason))
        entries += entries_about(kind, email_id, mine, reason=reason or None)
    return entries


def file_one(connection: Connection, email_id: UUID, item: Item, times: dict[str, datetime]) -> Filed:
    """Put one item into its inbox, with its `received_at` and `filed_at`; one that is there stays, released or withdrawn."""
    salt = item.salt or secrets.token_hex(32)
    values = item_values(item) | times | _withdrawn(item, times)
    values |= {"id": item_id(email_id, item.tenant, item.recipient), "email_id": email_id, "salt": salt}
    made = connection.execute(_file, values | {"all_words": tsvector_of(item)}).scalar_one_or_none()
    if made is None:
        mine = (
            (_items.c.email_id == email_id) & (_items.c.tenant == item.tenant) & (_items.c.recipient == item.recipient)
        )
        was = connection.execute(select(_items.c.withdrawn_at).where(mine).with_for_update()).scalar_one()
        released = was is not None and item.held is None
        listed = {"listed_at": func.clock_timestamp()} if released else {}
        there = update(_items).where(mine).values(_withdrawn(item, times) | listed).returning(_items.c.id)
        found = UUID(str(connection.execute(there).scalar_one()))
        hidden = was is None and item.held is not None
        became = Kind.SHOWN if released else Kind.WITHDRAWN if hidden else None
        return Filed(found, item.tenant, became=became, reason=item.held if hidden else None)
    parts = [attachment_values(part) for part in item.attachments]
    if parts:
        connection.execute(insert(_attachments), [{"item_id": made} | part for part in parts])
    return Filed(UUID(str(made)), item.tenant, item_digest(salt, values, parts))


def _withdrawn(item: Item, times: dict[str, datetime]) -> dict[str, Any]:
    return {"withdrawn_at": times["filed_at"] if item.held else None, "withdrawn_reason": item.held}
