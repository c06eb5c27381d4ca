"""Items whose words an earlier release indexed are indexed again, some in each transaction.

`words_version` says which form a row's words have. A worker of an earlier release, which knows no such column, leaves 0 there
also after the migration, so its items are found like those that were there before: by a partial index of what is left.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Text, bindparam, cast, func, select, update
from sqlalchemy.dialects.postgresql import TSVECTOR

from mailroom.adapters.postgres.inbox.columns import attachment_of, item_of
from mailroom.adapters.postgres.inbox.search_index import OLD_WORDS, WORDS_VERSION, tsvector_of
from mailroom.adapters.postgres.models import AttachmentRow, InboxItemRow, table
from mailroom.domain.inbound.received_email import Attachment
from mailroom.domain.inbox.search_words import MOST

_items, _attachments = table(InboxItemRow), table(AttachmentRow)

#: Only so much of text and HTML is indexed.
_CUT = {"text": MOST, "html": 4 * MOST}
_OLD = (
    select(
        *[
            func.left(column, _CUT[column.name]).label(column.name) if column.name in _CUT else column
            for column in _items.c
            if column is not _items.c.words
        ]
    )
    .where(OLD_WORDS)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_INDEXED = (
    update(_items)
    .where(_items.c.id == bindparam("which"))
    .values(words=cast(bindparam("all_words", type_=Text), TSVECTOR), words_version=WORDS_VERSION)
)


def index_again(connection: Connection, limit: int) -> int:
    """Index the words of at most `limit` items again, and return of how many; 0 where none are left that can be locked."""
    rows = connection.execute(_OLD, {"most": limit}).all()
    if rows:
        parts = _attachments_of(connection, [row.id for row in rows])
        values = [{"which": row.id, "all_words": tsvector_of(item_of(row, tuple(parts[row.id])))} for row in rows]
        connection.execute(_INDEXED, values)
    return len(rows)


def _attachments_of(connection: Connection, item_ids: Iterable[UUID]) -> dict[UUID, list[Attachment]]:
    wanted = select(_attachments).where(_attachments.c.item_id.in_(item_ids)).order_by(_attachments.c.number)
    parts: dict[Any, list[Attachment]] = defaultdict(list)
    for row in connection.execute(wanted):
        parts[row.item_id].append(attachment_of(row))
    return parts
