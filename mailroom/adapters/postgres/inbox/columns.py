"""The column of each field of an inbox item, derived from the dataclasses, so that filing and reading cannot differ.

A field is a column of the same name, except those in `_NAMED`; a field that has no column and is not in `_ELSEWHERE` raises
when this module is imported.
"""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args, get_origin

from sqlalchemy import Table

from mailroom.adapters.postgres.models import AttachmentRow, InboxItemRow, table
from mailroom.domain.inbound.received_email import Attachment, Item
from mailroom.domain.mail.contained import contained_of

_NAMED = {"user": "user_name", "from_": "from"}
#: Attachments are rows of another table; a held item is stored as withdrawn, with the reason; the salt is not read.
_ELSEWHERE = frozenset({"attachments", "held", "salt"})


def columns_of(kind: type[Any], rows: Table, *, elsewhere: frozenset[str] = frozenset()) -> dict[str, str]:
    """Return the column of each field of a dataclass that is stored in a row.

    Raises:
        TypeError: a field has no column.
    """
    columns = {one.name: _NAMED.get(one.name, one.name) for one in fields(kind) if one.name not in elsewhere}
    if missing := [name for name, column in columns.items() if column not in rows.c]:
        raise TypeError(
            f"{', '.join(missing)} of {kind.__name__}: the table {rows.name} has no such column; add it, with a migration"
        )
    return columns


_ITEM = columns_of(Item, table(InboxItemRow), elsewhere=_ELSEWHERE)
_ATTACHMENT = columns_of(Attachment, table(AttachmentRow))
_TUPLES = frozenset(one.name for one in fields(Item) if one.name in _ITEM and get_origin(one.type) is tuple)


def _entry_of(kind: Any) -> Callable[[Any], Any] | None:
    """Return how an entry is read, for a field that is None or a tuple: null where an older release filed the item."""
    entries = next((get_args(one)[0] for one in get_args(kind) if get_origin(one) is tuple), None)
    return getattr(entries, "from_dict", entries)


_MAYBE_TUPLES = {one.name: entry for one in fields(Item) if one.name in _ITEM and (entry := _entry_of(one.type))}


def item_values(item: Item) -> dict[str, Any]:
    """Return the columns of an item's row that come from the item."""
    return {column: _stored(getattr(item, name)) for name, column in _ITEM.items()}


def item_of(row: Any, attachments: tuple[Attachment, ...]) -> Item:
    """Return the item of a row; whether it was withdrawn is not part of it."""
    values: dict[str, Any] = {name: row._mapping[column] for name, column in _ITEM.items()}
    values |= {name: tuple(values[name]) for name in _TUPLES}
    values |= {name: _entries(values[name], entry) for name, entry in _MAYBE_TUPLES.items()}
    values["not_carried"] = _counts(values["not_carried"])
    amounts = values["left_out"]
    values["left_out"] = None if amounts is None else {str(word): _counts(known) for word, known in amounts.items()}
    return Item(**values, attachments=attachments)


def attachment_values(part: Attachment) -> dict[str, Any]:
    """Return the columns of an attachment's row that come from the attachment."""
    members = [member.as_dict() for member in part.members] or None
    return {column: getattr(part, name) for name, column in _ATTACHMENT.items()} | {_ATTACHMENT["members"]: members}


def attachment_of(row: Any) -> Attachment:
    """Return the attachment of a row, without its bytes."""
    values = {name: row._mapping[column] for name, column in _ATTACHMENT.items()}
    return Attachment(**values | {"members": _entries(values["members"], contained_of) or ()})


def _entries(stored: Any, entry: Callable[[Any], Any]) -> tuple[Any, ...] | None:
    if not isinstance(stored, list | None):
        raise TypeError("not a list")
    return None if stored is None else tuple(entry(one) for one in stored)


def _counts(stored: Any) -> dict[str, int] | None:
    return None if stored is None else {str(name): int(count) for name, count in stored.items()}


def _stored(value: Any) -> Any:
    if isinstance(value, tuple):
        return [one.as_dict() if hasattr(one, "as_dict") else one for one in value]
    return value
