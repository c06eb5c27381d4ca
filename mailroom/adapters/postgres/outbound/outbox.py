"""Submission of batches, in SQL: a batch is stored with all of its messages and its order, or not at all.

A few thousand rows are passed as one JSON text (`json_to_recordset`): as fast as COPY, and an ordinary statement.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, case, func, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import TenantRow, table
from mailroom.adapters.postgres.operations.restores import SqlRestores, restored_at, transact
from mailroom.adapters.postgres.outbound.models import (
    BatchRow,
    BreakerRow,
    FileRow,
    IdempotencyKeyRow,
    MessageRow,
    OutboxRow,
)
from mailroom.adapters.postgres.outbound.order_runs import overdue_since
from mailroom.adapters.postgres.outbound.recipient_retries import earliest_by_recipient
from mailroom.adapters.postgres.outbound.resends import SqlResends
from mailroom.adapters.postgres.outbound.rows import (
    batch_values,
    content_values,
    draft_values,
    is_held,
    member_of,
    move,
    order,
    owned,
    waiting,
)
from mailroom.adapters.postgres.skipped_rows import AGAIN_AFTER, stepping_over
from mailroom.domain.errors import Conflict, PermanentError
from mailroom.domain.outbound.message import WITHHELD, Batch, Content, Draft, Lane, Status
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.domain.outbound.trials import MARK
from mailroom.domain.times import EARLIEST, LATEST
from mailroom.ports.monitoring import Loop
from mailroom.ports.outbox import Accepted, AlreadySent, Cancelled, OutboxOrder, SubmissionKey

_batches, _messages, _files = table(BatchRow), table(MessageRow), table(FileRow)
_keys, _orders, _tenants = table(IdempotencyKeyRow), table(OutboxRow), table(TenantRow)
_message = _messages.c
_breaker = table(BreakerRow).c

#: How many rows and characters go in one statement: bounds the text that client and server hold at a time.
_ROWS, _CHARACTERS = 5_000, 1 << 20

#: `json.dumps` with options makes an encoder for each call.
_ROW = json.JSONEncoder(ensure_ascii=False)

_ADD_CONTENTS = text("""
    insert into content (batch_id, number, subject, text, html, reply_to, headers, enclosures, unsubscribe, template)
    select :batch_id, number, subject, text, html, reply_to, headers, enclosures, unsubscribe, template
    from json_to_recordset(:rows) as given (number int, subject text, text text, html text, reply_to jsonb,
        headers jsonb, enclosures jsonb, unsubscribe text, template boolean)
""")
_ADD_MESSAGES = text("""
    with added as (
        insert into message (id, batch_id, number, tenant, recipient, "to", reference, content, data, metadata, size,
            subject, status, due_at, attempts, created_at, changed_at)
        select id, :batch_id, number, :tenant, recipient, "to", reference, content, data, metadata, size,
            subject, 'accepted', :due_at, 0, :now, :now
        from json_to_recordset(:rows) as given (id uuid, number int, recipient text, "to" jsonb, reference text,
            content int, data jsonb, metadata jsonb, size int, subject text)
        returning id
    )
    insert into activity (message_id, at, kind, facts) select id, :now, 'accepted', '{}' from added
""")


#: How old the relay's reading of the outside counter may be, in seconds: it runs all day, and claims are checked again.
_RELAY_LOOKS_S = 30.0


class SqlOutbox(SqlResends):
    """The port `Outbox` on PostgreSQL; with `restores`, nothing is ordered from a database that was restored."""

    def __init__(self, engine: Engine, restores: SqlRestores | None = None) -> None:
        super().__init__(engine, restores)

    def answered(self, tenant: str, key: SubmissionKey) -> Accepted | None:
        """Return the response to the first request with this key, or None."""
        wanted = select(_keys).where(_keys.c.tenant == tenant, _keys.c.key == key.value)
        with transaction(self._engine) as connection:
            row = connection.execute(wanted).first()
        if row is None:
            return None
        if row.sha256 != key.sha256:
            raise Conflict("the idempotency key was already used with a different body", batch=str(row.batch_id))
        values = row.answer
        return Accepted(
            batch_id=str(row.batch_id),
            messages=values["messages"],
            duplicates=tuple(values["duplicates"]),
            repeated=True,
        )

    def tests_since(self, tenant: str, since: datetime) -> int:
        """Return how many test mails the tenant submitted since then."""
        marked = _batches.c.metadata.has_key(MARK)
        wanted = select(func.count()).where(_batches.c.tenant == tenant, _batches.c.created_at >= since, marked)
        with transaction(self._engine) as connection:
            return int(connection.execute(wanted).scalar_one())

    def accept(
        self,
        batch: Batch,
        contents: Collection[Content],
        drafts: Collection[Draft],
        *,
        files: Mapping[str, bytes] = MappingProxyType({}),
        duplicates: Sequence[int] = (),
        key: SubmissionKey | None = None,
        now: datetime,
    ) -> Accepted:
        """Store a whole batch; see the port."""
        answer = Accepted(batch_id=batch.id, messages=len(drafts), duplicates=tuple(duplicates))
        try:
            with transaction(self._engine, "commit of accept") as connection:
                _add_batch(connection, batch, len(drafts), now)
                if key is not None and not _add_keys(connection, batch, [key], answer, now):
                    raise _Repeated
                _add_files(connection, batch.tenant, files, now)
                _add_messages(connection, batch, contents, drafts, now)
        except _Repeated:
            first = self.answered(batch.tenant, key) if key else None
            if first is None:
                raise Conflict("the idempotency key expired in the meantime") from None
            return first
        return answer

    def accept_each(
        self,
        batch: Batch,
        contents: Collection[Content],
        drafts: Sequence[tuple[SubmissionKey, Draft]],
        *,
        now: datetime,
    ) -> int:
        """Store the drafts whose own key is new as one batch, and return how many."""
        try:
            with transaction(self._engine, "commit of accept") as connection:
                _add_batch(connection, batch, len(drafts), now)
                fresh = _add_keys(
                    connection, batch, [key for key, _ in drafts], Accepted(batch_id=batch.id, messages=1), now
                )
                kept = [draft for key, draft in drafts if key.value in fresh]
                if not kept:
                    raise _Repeated
                connection.execute(update(_batches).where(_batches.c.id == UUID(batch.id)).values(messages=len(kept)))
                _add_messages(connection, batch, contents, kept, now)
        except _Repeated:
            return 0
        return len(kept)

    def take(self, *, most: int, now: datetime, until: datetime) -> list[OutboxOrder]:
        """Lease unpublished orders to this relay until `until`; see the port."""
        free = or_(_orders.c.taken_until.is_(None), _orders.c.taken_until <= now)
        waiting = select(_orders.c.id).where(_orders.c.published_at.is_(None), free).order_by(_orders.c.id).limit(most)
        mine = (
            update(_orders)
            .where(_orders.c.id.in_(waiting.with_for_update(skip_locked=True)), _orders.c.batch_id == _batches.c.id)
            .values(taken_until=until)
            .returning(_orders.c.id, _orders.c.batch_id, _orders.c.due_at, _batches.c.lane)
        )
        if self._restores is not None:
            self._restores.look(max_age_s=_RELAY_LOOKS_S)
        of_batch = attrgetter("batch_id")
        with stepping_over(self._engine, Loop.RELAY, "batch", name=of_batch) as usable:

            def take(connection: Connection) -> list[OutboxOrder]:
                rows = connection.execute(mine).all()
                orders = usable(sorted(rows, key=attrgetter("id")), _order_of)
                if unreadable := {row.id for row in rows} - {one.id for one in orders}:
                    # Postponed, or a hundred of these would come first each time and leave no room for others.
                    later = update(_orders).where(_orders.c.id.in_(unreadable)).values(taken_until=now + AGAIN_AFTER)
                    connection.execute(later)
                return orders

            return transact(self._engine, self._restores, "commit of take", take)

    def restored_at(self) -> datetime | None:
        """Return when the database was last recognised as restored, also just now; None: never."""
        if self._restores is not None:
            self._restores.look()
        with transaction(self._engine) as connection:
            return restored_at(connection)

    def published(self, orders: Sequence[OutboxOrder], *, now: datetime) -> None:
        """Record that these orders are on the mailbox queue."""
        ids, batches = [order.id for order in orders], {UUID(order.batch_id) for order in orders}
        status = case((_message.due_at <= now, literal(Status.QUEUED.value)), else_=literal(Status.SCHEDULED.value))
        accepted = _message.batch_id.in_(batches) & (_message.status == Status.ACCEPTED)
        with transaction(self._engine, "commit of published") as connection:
            connection.execute(update(_orders).where(_orders.c.id.in_(ids)).values(published_at=now))
            move(connection, accepted, now=now, status=status)

    def remind(self, *, before: datetime, limit: int, now: datetime, only: Collection[str] | None = None) -> list[str]:
        """Write orders for overdue batches that no run works on; see the port."""
        overdue = overdue_since(before).limit(limit)
        if only is not None:
            overdue = overdue.where(_batches.c.id.in_([UUID(batch_id) for batch_id in only]))

        def order_all(connection: Connection) -> list[str]:
            ids = connection.execute(overdue.with_for_update(skip_locked=True, of=_batches)).scalars().all()
            for batch_id in ids:
                order(connection, batch_id, now)
            return [str(batch_id) for batch_id in ids]

        if self._restores is not None:
            self._restores.look()
        return transact(self._engine, self._restores, "commit of remind", order_all)

    def cancel(
        self,
        tenant: str | None,
        batch_id: str,
        *,
        now: datetime,
        reason: OutboundReason = OutboundReason.CANCELLED,
        facts: Mapping[str, Any] = MappingProxyType({}),
    ) -> Cancelled | None:
        """Cancel every message that was not sent, and return exactly those that were."""
        one = owned(_batches, tenant, batch_id)
        with transaction(self._engine) as connection:
            batch = _change(connection, one, cancelled_at=now)
            if batch is None:
                return None
            held = (_message.batch_id == batch.id) & is_held()
            values: dict[str, Any] = {"now": now, "facts": facts, "status": Status.CANCELLED, "reason": reason}
            released = move(connection, held, **values)
            waited = move(connection, waiting(batch.id), **values)
            gone = select(_message.id, _message.recipient, _message.status).where(
                _message.batch_id == batch.id, _message.status.not_in(WITHHELD)
            )
            rows = connection.execute(gone.order_by(_message.number)).all()
        usable = [row for row in rows if row.status in set(Status)]
        known = tuple(AlreadySent(str(row.id), row.recipient, Status(row.status)) for row in usable)
        return Cancelled(waited + released, known, held=released)

    def reschedule(self, tenant: str | None, batch_id: str, send_at: datetime, *, now: datetime) -> int | None:
        """Change the waiting messages to `send_at`, with orders; return how many, None without a batch; see the port."""
        one = owned(_batches, tenant, batch_id)
        with transaction(self._engine) as connection:
            batch = _change(connection, one, send_at=send_at)
            if batch is None:
                return None
            held = select(_message.reason).where(_message.batch_id == batch.id, is_held()).limit(1)
            if (reason := connection.execute(held).scalar_one_or_none()) is not None:
                raise Conflict("the batch is held; resume or cancel it first", batch=batch_id, reason=reason)
            status = Status.SCHEDULED if send_at > now else Status.QUEUED
            # A past time counts as now, or the message would be reported as the one that waits longest.
            earliest = earliest_by_recipient(send_at := max(send_at, now))
            deferred = earliest > send_at
            values: dict[str, Any] = {
                "status": case((deferred, literal(Status.DEFERRED.value)), else_=literal(status.value)),
                "reason": case((deferred, literal(OutboundReason.RECIPIENT_UNAVAILABLE.value)), else_=None),
                "due_at": earliest,
            }
            moved = move(connection, waiting(batch.id), now=now, kind="rescheduled", **values)
            for due_at in connection.execute(select(_message.due_at).where(waiting(batch.id)).distinct()).scalars():
                order(connection, batch.id, due_at)
        return moved


def _change(connection: Connection, one: ColumnElement[bool], **values: object) -> Row[Any] | None:
    """Change one batch and return its id; None when there is no such batch."""
    return connection.execute(update(_batches).where(one).values(values).returning(_batches.c.id)).first()


def _order_of(row: Row[Any]) -> OutboxOrder:
    lane = member_of(Lane, row.lane)
    if row.due_at >= LATEST:
        raise PermanentError("due_at is out of bounds")
    return OutboxOrder(id=row.id, batch_id=str(row.batch_id), due_at=max(row.due_at, EARLIEST), lane=lane)


class _Repeated(Exception):
    """Rolls back the rows of a repeated request."""


def _add_batch(connection: Connection, batch: Batch, messages: int, now: datetime) -> None:
    connection.execute(insert(_tenants).values(id=batch.tenant, created_at=now).on_conflict_do_nothing())
    connection.execute(insert(_batches).values(**batch_values(batch), messages=messages, created_at=now))


def _add_keys(
    connection: Connection, batch: Batch, keys: Sequence[SubmissionKey], answer: Accepted, now: datetime
) -> set[str]:
    """Store the new keys and return them; a concurrent request with the same key waits here."""
    values = {"messages": answer.messages, "duplicates": list(answer.duplicates)}
    rows = [
        {
            "tenant": batch.tenant,
            "key": key.value,
            "sha256": key.sha256,
            "batch_id": UUID(batch.id),
            "answer": values,
            "made_at": now,
        }
        # In one order everywhere, so that two requests with the same keys wait for each other and do not deadlock.
        for key in sorted(keys, key=lambda key: key.value)
    ]
    made = connection.execute(insert(_keys).values(rows).on_conflict_do_nothing().returning(_keys.c.key))
    return set(made.scalars())


def _add_files(connection: Connection, tenant: str, files: Mapping[str, bytes], now: datetime) -> None:
    for sha256, content in sorted(files.items()):
        row = insert(_files).values(tenant=tenant, sha256=sha256, content=content, created_at=now)
        # An existing file gets a new time, so that it is not deleted before its batch is stored.
        connection.execute(row.on_conflict_do_update(index_elements=["tenant", "sha256"], set_={"created_at": now}))


def _add_messages(
    connection: Connection, batch: Batch, contents: Iterable[Content], drafts: Iterable[Draft], now: datetime
) -> None:
    due_at = batch.send_at or now
    shared: dict[str, Any] = {"batch_id": UUID(batch.id)}
    for rows in _texts(content_values(number, content) for number, content in enumerate(contents)):
        connection.execute(_ADD_CONTENTS, {**shared, "rows": rows})
    shared |= {"tenant": batch.tenant, "due_at": due_at, "now": now}
    for rows in _texts(draft_values(draft) for draft in drafts):
        connection.execute(_ADD_MESSAGES, {**shared, "rows": rows})
    order(connection, UUID(batch.id), due_at)


def _texts(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    some: list[str] = []
    length = 0
    for row in rows:
        some.append(_ROW.encode(row))
        length += len(some[-1])
        if len(some) == _ROWS or length > _CHARACTERS:
            yield f"[{','.join(some)}]"
            some, length = [], 0
    if some:
        yield f"[{','.join(some)}]"
