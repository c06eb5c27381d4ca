"""Everything that the database has about one e-mail, as one JSON-ready value."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.archive.receipts import receipts_of
from mailroom.adapters.postgres.models import (
    AttachmentRow,
    InboundActivityRow,
    InboundEmailRow,
    InboxItemRow,
    table,
)


def trace(connection: Connection, email_id: UUID) -> dict[str, Any]:
    """Return the e-mail's row, activities, items with their attachments, and deposits, JSON-ready.

    Raises:
        LookupError: there is no such e-mail.
    """
    line = connection.execute(_from(InboundEmailRow).filter_by(id=email_id)).first()
    if line is None:
        raise LookupError("no such e-mail")
    items = connection.execute(_from(InboxItemRow).filter_by(email_id=email_id).order_by("recipient")).all()
    activities = _from(InboundActivityRow).filter_by(email_id=email_id).order_by("id")
    deposits = receipts_of(line.archive_ids).order_by("deposited_at", "archive_id")
    return {
        "email": _plain(line),
        "activities": [_plain(row, leave=("id", "email_id")) for row in connection.execute(activities)],
        "items": [_item(connection, item) for item in items],
        "deposits": [_plain(row) for row in connection.execute(deposits)],
    }


def _item(connection: Connection, item: Row[Any]) -> dict[str, Any]:
    parts = connection.execute(_from(AttachmentRow).filter_by(item_id=item.id).order_by("number"))
    shown = _plain(item, leave=("text", "html", "words", "email_id", "reports", "invitations", "header_fields"))
    return shown | {"attachments": [_plain(part, leave=("item_id",)) for part in parts]}


def _from(model: Any) -> Any:
    return select(table(model))


def _plain(row: Row[Any], *, leave: tuple[str, ...] = ()) -> dict[str, Any]:
    return {name: _json(value) for name, value in row._mapping.items() if name not in leave}


def _json(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return value
