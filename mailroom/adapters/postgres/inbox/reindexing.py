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
from mailroom.adapters.postgres.skipped_rows import Usable, met_lately
from mailroom.domain.inbox.search_words import MOST
from mailroom.ports.monitoring import Loop

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
    .where(OLD_WORDS, ~met_lately(Loop.SWEEP_INBOUND, "item", _items.c.id))
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_INDEXED = (
    update(_items)
    .where(_items.c.id == bindparam("which"))
    .values(words=cast(bindparam("all_words", type_=Text), TSVECTOR), words_version=WORDS_VERSION)
)


def index_again(connection: Connection, limit: int, usable: Usable) -> int:
    """Index the words of at most `limit` items again, and return of how many; 0 where none are left that can be locked.

    `usable` steps over items that cannot be read; a later sweep tries them again.
    """
    rows = connection.execute(_OLD, {"most": limit}).all()
    parts = _attachments_of(connection, [row.id for row in rows]) if rows else {}

    def indexed(row: Any) -> dict[str, Any]:
        item = item_of(row, tuple(attachment_of(part) for part in parts.get(row.id, ())))
        return {"which": row.id, "all_words": tsvector_of(item)}

    if values := usable(rows, indexed):
        connection.execute(_INDEXED, values)
    return len(values)


def _attachments_of(connection: Connection, item_ids: Iterable[UUID]) -> dict[UUID, list[Any]]:
    wanted = select(_attachments).where(_attachments.c.item_id.in_(item_ids)).order_by(_attachments.c.number)
    parts: dict[Any, list[Any]] = defaultdict(list)
    for row in connection.execute(wanted):
        parts[row.item_id].append(row)
    return parts
