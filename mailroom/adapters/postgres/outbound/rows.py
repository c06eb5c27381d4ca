"""The rows of outbound mail as the domain's values, and back; `move` is the one way to change a message's status."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    false,
    func,
    insert,
    literal,
    literal_column,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as insert_row
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.models import table
from mailroom.adapters.postgres.outbound.models import IS_WAITING, ActivityRow, ContentRow, MessageRow, OutboxRow
from mailroom.adapters.postgres.paging import uuid_of
from mailroom.adapters.postgres.skipped_rows import Usable
from mailroom.domain.errors import PermanentError
from mailroom.domain.inbound.routing import normalise
from mailroom.domain.outbound.message import Batch, Content, Draft, Lane, Party, ResendPolicy, StoredAttachment, Tracked

W = TypeVar("W", bound=StrEnum)

_messages, _activities, _orders = table(MessageRow), table(ActivityRow), table(OutboxRow)
_contents = table(ContentRow)


def move(
    connection: Connection,
    which: ColumnElement[bool],
    *,
    now: datetime,
    kind: str | None = None,
    facts: Mapping[str, Any] | None = None,
    row_facts: Mapping[str, ColumnElement[Any]] | None = None,
    **values: Any,
) -> int:
    """Change messages, write each one's activity with it, and return how many there were.

    The activity's kind is the new status unless `kind` is given. Its facts are `facts`, a changed reason and time, and
    `row_facts`, which are columns of the message.
    """
    column = _messages.c
    always = {"reason": column.reason, "due_at": column.due_at} if {"reason", "due_at"} & values.keys() else {}
    changed = (
        update(_messages)
        .where(which)
        .values(changed_at=now, **values)
        .returning(column.id, column.status, _facts(facts or {}, {**always, **(row_facts or {})}).label("facts"))
        .cte("changed")
    )
    written = insert(_activities).from_select(
        ["message_id", "at", "kind", "facts"],
        select(changed.c.id, literal(now), literal(kind) if kind else changed.c.status, changed.c.facts),
    )
    return connection.execute(written.execution_options(preserve_rowcount=True)).rowcount


def _facts(facts: Mapping[str, Any], columns: Mapping[str, ColumnElement[Any]]) -> ColumnElement[Any]:
    pairs = [part for name, value in columns.items() for part in (literal(name), value)]
    given = literal(dict(facts), JSONB)
    return given.op("||")(func.jsonb_strip_nulls(func.jsonb_build_object(*pairs))) if pairs else given


def waiting(batch_id: UUID) -> ColumnElement[bool]:
    """Return the condition that a message of this batch may still be sent, written as in its partial index."""
    return and_(_messages.c.batch_id == batch_id, text(IS_WAITING))


def is_held() -> ColumnElement[bool]:
    """Return the condition that a message is held, written as in its partial index."""
    return _messages.c.status == literal_column("'held'")


def order(connection: Connection, batch_id: UUID, due_at: datetime) -> None:
    """Write an order: this batch has something to send from `due_at` on."""
    connection.execute(insert_row(_orders).values(batch_id=batch_id, due_at=due_at))


def owned(rows: Table, tenant: str | None, any_id: str) -> ColumnElement[bool]:
    """Return the condition for one row of this tenant (None: any); false when `any_id` is not a UUID."""
    uuid = uuid_of(any_id)
    if uuid is None:
        return false()
    return and_(rows.c.id == uuid, true() if tenant is None else rows.c.tenant == tenant)


def member_of(words: type[W], stored: Any) -> W:
    """Return a stored word as a member of `words`.

    Raises:
        PermanentError: `words` has no such member.
    """
    try:
        return words(stored)
    except ValueError:
        raise PermanentError(f"unknown {words.__name__.lower()}") from None


def party_of(stored: Any) -> Party:
    """Return a stored address with its display name.

    Raises:
        PermanentError: it has another shape.
    """
    if not isinstance(stored, dict) or not all(isinstance(stored.get(part, ""), str) for part in ("address", "name")):
        raise PermanentError("not an address with a name")
    return Party(**stored)


def texts_of(stored: Any) -> dict[str, str]:
    """Return stored metadata: texts by name.

    Raises:
        PermanentError: they have another shape.
    """
    if not isinstance(stored or {}, dict) or not all(isinstance(text, str) for text in (stored or {}).values()):
        raise PermanentError("invalid metadata")
    return stored or {}


def table_of(stored: Any) -> dict[str, Any]:
    """Return stored values by name.

    Raises:
        PermanentError: they have another shape.
    """
    if not isinstance(stored or {}, dict):
        raise PermanentError("invalid facts")
    return stored or {}


def batch_values(batch: Batch) -> dict[str, Any]:
    """Return a batch as it is stored."""
    return {
        "id": UUID(batch.id),
        "tenant": batch.tenant,
        "from": _party_values(batch.from_),
        "lane": batch.lane,
        "policy": batch.policy,
        "send_at": batch.send_at,
        "expires_at": batch.expires_at,
        "metadata": dict(batch.metadata),
        "track_opens": batch.tracking.opens,
        "track_clicks": batch.tracking.clicks,
        "stream": batch.stream_name,
    }


def batch_of(row: Row[Any]) -> Batch:
    """Return the stored batch."""
    stored = row._mapping
    return Batch(
        id=str(row.id),
        tenant=row.tenant,
        from_=party_of(stored["from"]),
        lane=member_of(Lane, row.lane),
        policy=member_of(ResendPolicy, row.policy),
        send_at=row.send_at,
        expires_at=row.expires_at,
        metadata=texts_of(stored["metadata"]),
        tracking=Tracked(opens=row.track_opens, clicks=row.track_clicks),
        stream=row.stream,
    )


def content_values(number: int, content: Content) -> dict[str, Any]:
    """Return a content as it is stored, for JSON."""
    return {
        "number": number,
        "subject": content.subject,
        "text": content.text,
        "html": content.html,
        "reply_to": _party_values(content.reply_to) if content.reply_to else None,
        "headers": content.headers,
        "enclosures": [_enclosure_values(enclosure) for enclosure in content.enclosures],
        "unsubscribe": content.unsubscribe,
        "template": content.template,
    }


def content_of(row: Row[Any]) -> Content:
    """Return the stored content.

    Raises:
        Exception: of any class; no mail can be made of the row.
    """
    return Content(
        subject=row.subject,
        text=row.text,
        html=row.html,
        reply_to=party_of(row.reply_to) if row.reply_to else None,
        headers=tuple(_header_of(header) for header in row.headers),
        enclosures=tuple(_enclosure_of(enclosure) for enclosure in row.enclosures),
        unsubscribe=row.unsubscribe,
        template=row.template,
    )


def contents_of(
    connection: Connection, batch: Batch, messages: Sequence[Row[Any]], usable: Usable | None = None
) -> dict[int, Content]:
    """Return the contents of these messages by number; with `usable`, unreadable ones are left out."""
    numbers = {row.content for row in messages}
    wanted = select(_contents).where(_contents.c.batch_id == UUID(batch.id), _contents.c.number.in_(numbers))
    rows = connection.execute(wanted).all()
    if usable is None:
        return {row.number: content_of(row) for row in rows}
    return dict(usable(rows, lambda row: (row.number, content_of(row))))


def draft_values(draft: Draft) -> dict[str, Any]:
    """Return a message as it is stored, for JSON."""
    return {
        "id": draft.id,
        "number": draft.number,
        "recipient": normalise(draft.to.address),
        "to": _party_values(draft.to),
        "reference": draft.reference,
        "content": draft.content,
        "data": dict(draft.data) or None,
        "metadata": dict(draft.metadata) or None,
        "size": draft.size,
        "subject": draft.subject,
    }


def draft_of(row: Row[Any]) -> Draft:
    """Return the message as it was submitted."""
    stored = row._mapping
    return Draft(
        id=str(row.id),
        number=row.number,
        to=party_of(stored["to"]),
        content=row.content,
        reference=row.reference,
        data=table_of(row.data),
        metadata=texts_of(stored["metadata"]),
        size=row.size,
    )


def _party_values(party: Party) -> dict[str, str]:
    return {"address": party.address, "name": party.name}


def _enclosure_values(enclosure: StoredAttachment) -> dict[str, Any]:
    return {
        "filename": enclosure.filename,
        "content_type": enclosure.content_type,
        "size": enclosure.size,
        "sha256": enclosure.sha256,
        "content_id": enclosure.content_id,
        "archive_id": enclosure.archive_id,
    }


def _header_of(stored: Any) -> tuple[str, str]:
    name, value = stored
    if not isinstance(stored, list) or not isinstance(name, str) or not isinstance(value, str):
        raise PermanentError("not a header")
    return name, value


def _enclosure_of(stored: Any) -> StoredAttachment:
    enclosure = StoredAttachment(**stored)
    words = enclosure.filename, enclosure.content_type, enclosure.sha256
    names = enclosure.content_id or "", enclosure.archive_id or ""
    if not all(isinstance(word, str) for word in (*words, *names)):
        raise PermanentError("not an attachment")
    return enclosure
