"""Queries of outbound mail in SQL: each is one or two statements under one tenant."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, Select, false, func, select, text, true
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.delivery.earlier_attempts import known_as
from mailroom.adapters.postgres.delivery.scopes import STREAM
from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import table
from mailroom.adapters.postgres.outbound.lookups import (
    engagement_of,
    has_label,
    in_stream,
    labelled,
    labels,
    newest_labels,
    rarest_first,
    within,
    words_of,
)
from mailroom.adapters.postgres.outbound.models import (
    IS_WAITING,
    ActivityRow,
    BatchRow,
    ContentRow,
    FileRow,
    MessageRow,
    ParkedEventRow,
)
from mailroom.adapters.postgres.outbound.pauses import waiting_pauses
from mailroom.adapters.postgres.outbound.recipient_retries import is_by_recipient
from mailroom.adapters.postgres.outbound.rows import (
    batch_of,
    content_of,
    draft_of,
    is_held,
    member_of,
    owned,
    party_of,
    table_of,
    texts_of,
)
from mailroom.adapters.postgres.paging import behind, page_of, uuid_of
from mailroom.adapters.postgres.skipped_rows import readable, stepping_over
from mailroom.domain.delivery.events import Kind
from mailroom.domain.outbound.message import Content, Status
from mailroom.ports.holds import HoldReason
from mailroom.ports.inbox_reader import Page, Position
from mailroom.ports.message_reader import (
    ANY_BATCH,
    ANY_MESSAGE,
    ActivityLine,
    BatchFilter,
    BatchLine,
    MessageFilter,
    MessageLine,
    ParkedLine,
    StoredMessage,
)
from mailroom.ports.monitoring import Loop
from mailroom.ports.pauses import Pause

_batches, _messages, _contents = table(BatchRow), table(MessageRow), table(ContentRow)
_activities, _parked, _files = table(ActivityRow), table(ParkedEventRow), table(FileRow)
_batch, _message = _batches.c, _messages.c

#: The most batches that one page looks through for a status.
_MOST_SEARCHED = 5_000
_SAID = (_contents.c.batch_id == _message.batch_id) & (_contents.c.number == _message.content)


class SqlMessageReader:
    """The port `MessageReader` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def batches(
        self, tenant: str | None, *, after: Position | None, limit: int, wanted: BatchFilter = ANY_BATCH
    ) -> Page[BatchLine]:
        """Return batches, newest first; with statuses, of at most `_MOST_SEARCHED` ones a page."""
        owner = true() if tenant is None else _batch.tenant == tenant
        period = within(_batch.created_at, wanted.since, wanted.until)
        found = select(_batches).where(
            owner, period, in_stream(wanted.stream), behind(after, _batch.created_at, _batch.id)
        )
        found = found.order_by(_batch.created_at.desc(), _batch.id.desc())
        with stepping_over(self._engine, Loop.LISTS, "batch") as usable, transaction(self._engine) as connection:
            if not wanted.statuses:
                rows = connection.execute(found.limit(limit + 1)).all()
                lines = usable(rows[:limit], _batch_lines(connection, rows[:limit]))
                return page_of(rows, limit, lines, at="created_at")
            searched = found.limit(_MOST_SEARCHED).subquery()
            mine = (_message.batch_id == searched.c.id) & _message.status.in_(wanted.statuses)
            chosen = select(searched).where(select(_message.id).where(mine).exists())
            chosen = chosen.order_by(searched.c.created_at.desc(), searched.c.id.desc()).limit(limit + 1)
            rows = connection.execute(chosen).all()
            page = page_of(rows, limit, usable(rows[:limit], _batch_lines(connection, rows[:limit])), at="created_at")
            if page.next is not None:
                return page
            last = connection.execute(found.offset(_MOST_SEARCHED - 1).limit(1)).first()
            return page if last is None else Page(page.lines, Position(last.created_at, str(last.id)))

    def batch(self, tenant: str | None, batch_id: str) -> BatchLine | None:
        """Return one batch with the count of its messages in each status."""
        with transaction(self._engine) as connection:
            row = connection.execute(select(_batches).where(owned(_batches, tenant, batch_id))).first()
            return readable(_batch_lines(connection, [row]), row, kind="batch") if row else None

    def messages(
        self,
        tenant: str | None,
        *,
        recipient: str | None,
        batch_id: str | None,
        statuses: Sequence[Status],
        after: Position | None,
        limit: int,
        wanted: MessageFilter = ANY_MESSAGE,
    ) -> Page[MessageLine]:
        """Return messages, newest first."""
        owner = true() if tenant is None else _message.tenant == tenant
        words = words_of(wanted)
        at, id_ = (labels.c.created_at, labels.c.message_id) if words else (_message.created_at, _message.id)
        found = _lines().where(owner, behind(after, at, id_), within(at, wanted.since, wanted.until))
        if recipient is not None:
            found = found.where(_message.recipient == recipient)
        if wanted.stream is not None:
            whose = true() if tenant is None else _batch.tenant == tenant
            found = found.where(whose, in_stream(wanted.stream))
        if batch_id is not None:
            found = found.where(_of_batch(batch_id))
        if statuses:
            found = found.where(_message.status.in_(statuses))
        with stepping_over(self._engine, Loop.LISTS, "message") as usable, transaction(self._engine) as connection:
            if words:
                first, *others = rarest_first(connection, words, tenant)
                found = found.join(labels, labels.c.message_id == _message.id).where(labelled(first, tenant))
                found = found.where(*map(has_label, others))
                if tenant is None and not others and recipient is batch_id is wanted.stream is None and not statuses:
                    period = behind(after, at, id_) & within(at, wanted.since, wanted.until)
                    found = found.where(newest_labels(first, period, limit + 1))
            rows = connection.execute(found.order_by(at.desc(), id_.desc()).limit(limit + 1)).all()
            return page_of(rows, limit, usable(rows[:limit], _message_line), at="created_at")

    def message(self, tenant: str | None, message_id: str) -> MessageLine | None:
        """Return one message, or None."""
        with transaction(self._engine) as connection:
            return _found(connection, tenant, message_id)

    def activities(self, tenant: str | None, message_id: str) -> list[ActivityLine] | None:
        """Return the activities of one message, in order; None when there is no such message."""
        with stepping_over(self._engine, Loop.LISTS, "activity") as usable, transaction(self._engine) as connection:
            line = _found(connection, tenant, message_id)
            if line is None:
                return None
            wanted = select(_activities).where(_activities.c.message_id == UUID(line.id)).order_by(_activities.c.id)
            return usable(connection.execute(wanted), _activity_line)

    def content(self, tenant: str | None, message_id: str) -> Content | None:
        """Return the content of one message, or None."""
        wanted = select(_contents).join(_messages, _SAID).where(owned(_messages, tenant, message_id))
        with transaction(self._engine) as connection:
            row = connection.execute(wanted).first()
            return readable(content_of, row, kind="content of message", name=message_id) if row else None

    def stored(self, tenant: str | None, message_id: str) -> StoredMessage | None:
        """Return one message with all that renders it, or None."""
        with transaction(self._engine) as connection:
            row = connection.execute(select(_messages).where(owned(_messages, tenant, message_id))).first()
            if row is None:
                return None
            batch = connection.execute(select(_batches).where(_batch.id == row.batch_id)).one()
            said = (_contents.c.batch_id == row.batch_id) & (_contents.c.number == row.content)
            content = connection.execute(select(_contents).where(said)).first()
            if content is None:
                return None
        return readable(lambda one: _stored(batch, one, content), row, kind="message")

    def read_file(self, tenant: str, sha256: str) -> bytes:
        """Return the bytes of an attachment that was submitted with a batch."""
        wanted = select(_files.c.content).where(_files.c.tenant == tenant, _files.c.sha256 == sha256)
        with transaction(self._engine) as connection:
            content = connection.execute(wanted).scalar_one_or_none()
        if content is None:
            raise LookupError("no such file")
        return bytes(content)

    def by_provider_id(self, tenant: str | None, provider_message_id: str, *, limit: int) -> list[MessageLine]:
        """Return the messages with this id of their provider."""
        owner = true() if tenant is None else _message.tenant == tenant
        wanted = _lines().where(owner, known_as(provider_message_id))
        with stepping_over(self._engine, Loop.LISTS, "message") as usable, transaction(self._engine) as connection:
            return usable(connection.execute(wanted.order_by(_message.number).limit(limit)), _message_line)

    def parked(self, *, before: int | None, limit: int) -> list[ParkedLine]:
        """Return parked events that were not matched, newest first."""
        column = _parked.c
        wanted = select(_parked).where(column.matched_at.is_(None), true() if before is None else column.id < before)
        with stepping_over(self._engine, Loop.LISTS, "parked event") as usable, transaction(self._engine) as connection:
            return usable(connection.execute(wanted.order_by(column.id.desc()).limit(limit)), _parked_line)


def _lines() -> Select[Any]:
    shown = func.coalesce(_message.subject, _contents.c.subject).label("shown_subject")
    sender = _batch["from"]["address"].astext.label("sender")
    lines = select(_messages, shown, sender).join_from(_messages, _contents, _SAID)
    return lines.join(_batches, _batch.id == _message.batch_id)


def _found(connection: Connection, tenant: str | None, message_id: str) -> MessageLine | None:
    row = connection.execute(_lines().where(owned(_messages, tenant, message_id))).first()
    return readable(_message_line, row, kind="message") if row else None


def _of_batch(batch_id: str) -> ColumnElement[bool]:
    uuid = uuid_of(batch_id)
    return false() if uuid is None else _message.batch_id == uuid


def _batch_lines(connection: Connection, rows: Sequence[Row[Any]]) -> Callable[[Row[Any]], BatchLine]:
    """Return a function from these rows to batches with their messages' counts: a few statements for any number of rows."""
    ours = _message.batch_id.in_([row.id for row in rows])
    counts = select(_message.batch_id, _message.status, func.count().label("messages")).where(ours)
    statuses: dict[UUID, dict[Status, int]] = defaultdict(dict)
    for count in connection.execute(counts.group_by(_message.batch_id, _message.status)):
        if count.status in set(Status):
            statuses[count.batch_id][Status(count.status)] = count.messages
    next_at, by_recipient = func.min(_message.due_at), is_by_recipient()
    deferred = func.count().filter(by_recipient), next_at.filter(by_recipient)
    waiting = select(_message.batch_id, next_at, *deferred).where(ours, text(IS_WAITING)).group_by(_message.batch_id)
    waits = {batch_id: times for batch_id, *times in connection.execute(waiting)}
    held: dict[UUID, dict[HoldReason, int]] = defaultdict(dict)
    reasons = select(_message.batch_id, _message.reason, func.count().label("messages")).where(ours, is_held())
    for count in connection.execute(reasons.group_by(_message.batch_id, _message.reason)):
        if count.reason in set(HoldReason):
            held[count.batch_id][HoldReason(count.reason)] = count.messages
    engagement = engagement_of(connection, [row.id for row in rows])
    paused = waiting_pauses(connection, rows)
    streams = select(_batch.id, STREAM.label("stream")).where(_batch.id.in_([row.id for row in rows]))
    named = {row.id: row.stream for row in connection.execute(streams)}
    return lambda row: _batch_line(
        row,
        statuses[row.id],
        held[row.id],
        *waits.get(row.id, (None, 0, None)),
        engagement=engagement[row.id],
        paused=paused.get(row.id),
        stream=named[row.id],
    )


def _batch_line(
    row: Row[Any],
    statuses: dict[Status, int],
    held: dict[HoldReason, int],
    next_at: datetime | None,
    deferred: int,
    deferred_until: datetime | None,
    *,
    engagement: dict[Kind, int],
    paused: Pause | None,
    stream: str,
) -> BatchLine:
    batch = batch_of(row)
    return BatchLine(
        id=batch.id,
        tenant=batch.tenant,
        from_=batch.from_,
        lane=batch.lane,
        stream=stream,
        policy=batch.policy,
        metadata=batch.metadata,
        messages=row.messages,
        statuses=statuses,
        created_at=row.created_at,
        send_at=batch.send_at,
        expires_at=batch.expires_at,
        cancelled_at=row.cancelled_at,
        next_at=next_at,
        deferred=deferred,
        deferred_until=None if deferred_until == batch.expires_at else deferred_until,
        held=held,
        paused=paused,
        tracking=batch.tracking,
        engagement=engagement,
    )


def _message_line(row: Row[Any]) -> MessageLine:
    stored = row._mapping
    return MessageLine(
        id=str(row.id),
        batch_id=str(row.batch_id),
        number=row.number,
        tenant=row.tenant,
        to=party_of(stored["to"]),
        recipient=row.recipient,
        reference=row.reference,
        subject=row.shown_subject,
        metadata=texts_of(stored["metadata"]),
        status=member_of(Status, row.status),
        reason=row.reason,
        attempts=row.attempts,
        provider=row.provider,
        provider_message_id=row.provider_message_id,
        created_at=row.created_at,
        changed_at=row.changed_at,
        due_at=row.due_at,
        handed_at=row.handed_at,
        sender=row.sender or "",
    )


def _stored(batch: Row[Any], row: Row[Any], content: Row[Any]) -> StoredMessage:
    return StoredMessage(
        batch=batch_of(batch),
        draft=draft_of(row),
        content=content_of(content),
        status=member_of(Status, row.status),
        handed_at=row.handed_at,
        sent_sha256=row.sent_sha256,
    )


def _activity_line(row: Row[Any]) -> ActivityLine:
    return ActivityLine(at=row.at, kind=row.kind, actor=row.actor, provider=row.provider, facts=table_of(row.facts))


def _parked_line(row: Row[Any]) -> ParkedLine:
    return ParkedLine(
        id=row.id,
        provider=row.provider,
        event_id=row.event_id,
        kind=str(table_of(row.event).get("kind", "unknown")),
        provider_message_id=row.provider_message_id,
        message_id=str(row.message_id) if row.message_id else None,
        parked_at=row.parked_at,
        next_at=row.next_at,
        tries=row.tries,
    )
