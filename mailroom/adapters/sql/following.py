"""The reading side of outbound mail in SQL: each question is one or two statements under one tenant."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, Select, false, func, select, true, tuple_
from sqlalchemy.engine import Row

from mailroom.adapters.sql.engine import transaction
from mailroom.adapters.sql.models import table
from mailroom.adapters.sql.outbound_models import ActivityRow, BatchRow, ContentRow, MessageRow
from mailroom.adapters.sql.outbound_rows import owned, waiting
from mailroom.domain.outbound import Party, Status
from mailroom.following import ActivityLine, BatchLine, MessageLine
from mailroom.reading import Page, Position

_batches, _messages, _contents = table(BatchRow), table(MessageRow), table(ContentRow)
_activities = table(ActivityRow)
_message = _messages.c


class SqlFollower:
    """The port `Follower` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def batch(self, tenant: str | None, batch_id: str) -> BatchLine | None:
        """Return one batch with the count of its messages in each status."""
        with transaction(self._engine) as connection:
            row = connection.execute(select(_batches).where(owned(_batches, tenant, batch_id))).first()
            if row is None:
                return None
            counts = select(_message.status, func.count()).where(_message.batch_id == row.id).group_by(_message.status)
            statuses = {Status(status): count for status, count in connection.execute(counts)}
            next_at = connection.execute(select(func.min(_message.due_at)).where(waiting(row.id))).scalar_one()
        return _batch_line(row, statuses, next_at)

    def messages(
        self,
        tenant: str | None,
        *,
        recipient: str | None,
        batch_id: str | None,
        statuses: Sequence[Status],
        after: Position | None,
        limit: int,
    ) -> Page[MessageLine]:
        """Return messages, newest first."""
        wanted = _lines().where(true() if tenant is None else _message.tenant == tenant, _after(after))
        if recipient is not None:
            wanted = wanted.where(_message.recipient == recipient)
        if batch_id is not None:
            wanted = wanted.where(_of_batch(batch_id))
        if statuses:
            wanted = wanted.where(_message.status.in_(statuses))
        newest_first = _message.created_at.desc(), _message.id.desc()
        with transaction(self._engine) as connection:
            found = connection.execute(wanted.order_by(*newest_first).limit(limit + 1))
            lines = [_message_line(row) for row in found]
        last = lines[limit - 1] if len(lines) > limit else None
        return Page(tuple(lines[:limit]), Position(last.created_at, last.id) if last else None)

    def message(self, tenant: str | None, message_id: str) -> MessageLine | None:
        """Return one message."""
        with transaction(self._engine) as connection:
            return _found(connection, tenant, message_id)

    def activities(self, tenant: str | None, message_id: str) -> list[ActivityLine] | None:
        """Return what happened to one message, in order."""
        with transaction(self._engine) as connection:
            line = _found(connection, tenant, message_id)
            if line is None:
                return None
            wanted = select(_activities).where(_activities.c.message_id == UUID(line.id)).order_by(_activities.c.id)
            return [
                ActivityLine(at=row.at, kind=row.kind, actor=row.actor, provider=row.provider, facts=row.facts)
                for row in connection.execute(wanted)
            ]


def _lines() -> Select[Any]:
    same = (_contents.c.batch_id == _message.batch_id) & (_contents.c.number == _message.content)
    return select(_messages, _contents.c.subject).join_from(_messages, _contents, same)


def _found(connection: Connection, tenant: str | None, message_id: str) -> MessageLine | None:
    row = connection.execute(_lines().where(owned(_messages, tenant, message_id))).first()
    return _message_line(row) if row else None


def _of_batch(batch_id: str) -> ColumnElement[bool]:
    try:
        return _message.batch_id == UUID(batch_id)
    except ValueError:
        return false()


def _after(position: Position | None) -> ColumnElement[bool]:
    if position is None:
        return true()
    return tuple_(_message.created_at, _message.id) < (position.received_at, UUID(position.id))


def _batch_line(row: Row[Any], statuses: dict[Status, int], next_at: datetime | None) -> BatchLine:
    stored = row._mapping
    return BatchLine(
        id=str(row.id),
        tenant=row.tenant,
        from_=Party(**stored["from"]),
        lane=row.lane,
        policy=row.policy,
        metadata=stored["metadata"],
        messages=row.messages,
        statuses=statuses,
        created_at=row.created_at,
        send_at=row.send_at,
        expires_at=row.expires_at,
        cancelled_at=row.cancelled_at,
        next_at=next_at,
    )


def _message_line(row: Row[Any]) -> MessageLine:
    stored = row._mapping
    return MessageLine(
        id=str(row.id),
        batch_id=str(row.batch_id),
        number=row.number,
        tenant=row.tenant,
        to=Party(**stored["to"]),
        recipient=row.recipient,
        reference=row.reference,
        subject=row.subject,
        metadata=stored["metadata"] or {},
        status=Status(row.status),
        reason=row.reason,
        attempts=row.attempts,
        provider=row.provider,
        provider_message_id=row.provider_message_id,
        created_at=row.created_at,
        changed_at=row.changed_at,
        due_at=row.due_at,
        handed_at=row.handed_at,
    )
