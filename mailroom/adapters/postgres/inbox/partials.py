"""The other parts of a split mail (message/partial) in one inbox."""

from dataclasses import replace
from uuid import UUID

from sqlalchemy import Connection, select

from mailroom.adapters.postgres.models import InboxItemRow
from mailroom.ports.inbox_reader import FiledItem, PartialLine

_item = InboxItemRow.__table__.c  # type: ignore[attr-defined]
_MOST = 100


def with_partials(connection: Connection, filed: FiledItem) -> FiledItem:
    """Return the item with the parts of the same split mail in the same inbox, found by `ix_inbox_item_partial`."""
    mine = filed.item
    wanted = (
        select(_item.id, _item.partial_number, _item.partial_total)
        .where(_item.tenant == mine.tenant, _item.recipient == mine.recipient, _item.partial_id == mine.partial_id)
        .where(_item.id != UUID(filed.id), _item.withdrawn_at.is_(None), _item.partial_number.is_not(None))
        .order_by(_item.partial_number, _item.received_at, _item.id)
        .limit(_MOST)
    )
    rows = connection.execute(wanted)
    return replace(
        filed, partials=tuple(PartialLine(str(row.id), row.partial_number, row.partial_total) for row in rows)
    )
