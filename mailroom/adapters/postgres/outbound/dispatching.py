"""Dispatch of a batch's messages, in SQL. A message is committed as `sending` before the provider is called.

`attempts` is the fence: an outcome of an attempt that is not the latest changes nothing. The provider is never called
inside a transaction: its answer may take a minute, and a lock would be held as long.
"""

import json
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, case, func, or_, select, text, update
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.delivery.earlier_attempts import keep_attempts
from mailroom.adapters.postgres.delivery.models import SuppressionRow
from mailroom.adapters.postgres.delivery.scopes import covers, with_stream
from mailroom.adapters.postgres.delivery.suppressing import suppress_refused
from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import table
from mailroom.adapters.postgres.operations.restores import SqlRestores, count_attempts, hold_put_back, transact
from mailroom.adapters.postgres.outbound.holds import hold
from mailroom.adapters.postgres.outbound.models import (
    IS_WAITING,
    BatchRow,
    ContentRow,
    FileRow,
    MessageRow,
    OutboxRow,
)
from mailroom.adapters.postgres.outbound.outcomes import (
    SETTLE,
    cancelled_batches,
    hard_refusals,
    held_batches,
    is_held_batch,
    outcome_values,
)
from mailroom.adapters.postgres.outbound.quotas import give_back, room_for, spend
from mailroom.adapters.postgres.outbound.recipient_retries import (
    NONE_YET,
    count_given_up,
    earlier_refusals,
    is_by_recipient,
    order_deferred,
)
from mailroom.adapters.postgres.outbound.rows import batch_of, contents_of, draft_of, move, order, owned, waiting
from mailroom.adapters.postgres.skipped_rows import met_lately, note_skipped, stepping_over, why
from mailroom.domain.errors import PermanentError, TransientError
from mailroom.domain.outbound.message import UNANSWERED, WAITING, Batch, ResendPolicy, Status
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.domain.outbound.trials import is_test
from mailroom.ports.dispatch import Claimed, Outcome, Planned, UnknownMessage
from mailroom.ports.monitoring import Loop

_batches, _contents, _files = table(BatchRow), table(ContentRow), table(FileRow)
_messages, _orders, _suppressions = table(MessageRow), table(OutboxRow), table(SuppressionRow)
_message = _messages.c

#: The most messages that are searched for one that cannot be read.
_MOST_SEARCHED = 1_000
#: A message with this many attempts is unreadable: another one could overflow the column.
_MOST_ATTEMPTS = 1_000_000
#: A run that starts this much early still counts as begun for an order: it waits for the order's time.
_EARLY = timedelta(minutes=1)


class SqlDispatch:
    """The port `Dispatch` on PostgreSQL; with `restores`, nothing is claimed from a database that was just restored."""

    def __init__(self, engine: Engine, restores: SqlRestores | None = None) -> None:
        self._engine, self._restores = engine, restores

    def batch(self, batch_id: str) -> Batch | None:
        """Return the batch with its present time to send, or None."""
        with transaction(self._engine) as connection:
            row = connection.execute(select(_batches).where(owned(_batches, None, batch_id))).first()
            return batch_of(row) if row else None

    def plan(self, batch_id: str, *, now: datetime) -> Planned:
        """Withhold expired and suppressed messages, and count the waiting ones."""
        if self._restores is not None:
            self._restores.claiming()
        return transact(self._engine, self._restores, "commit of plan", lambda one: _plan(one, batch_id, now))

    def work_on(self, batch_id: str, *, now: datetime) -> None:
        """Record that a run works on the batch now."""
        if self._restores is not None:
            self._restores.claiming()
        with transaction(self._engine) as connection:
            connection.execute(update(_batches).where(owned(_batches, None, batch_id)).values(worked_at=now))

    def claim(
        self,
        batch_id: str,
        *,
        most: int,
        provider: str,
        now: datetime,
        run_id: str | None = None,
        probing: bool = False,
    ) -> list[Claimed]:
        """Claim due messages for one attempt, committed before this returns; see the port."""
        facts = {"by": provider} | ({"run_id": run_id} if run_id else {})

        def take(connection: Connection) -> list[Claimed]:
            return _claim(connection, batch_id, most, provider, now, facts, probing)

        while True:
            try:
                return transact(self._engine, self._restores, "commit of claim", take)
            except TransientError:
                raise
            except Exception:
                # Nothing was written. One message that cannot be read must not stop its whole batch.
                if not self._withhold_unreadable(batch_id, most=most, now=now, probing=probing):
                    raise

    def _withhold_unreadable(self, batch_id: str, *, most: int, now: datetime, probing: bool) -> int:
        """Fail the messages that a claim would take and that cannot be read, and return how many there were."""
        with (
            stepping_over(self._engine, Loop.DISPATCH, "message", name=_row_name) as usable,
            transaction(self._engine, "commit of withhold") as connection,
        ):
            batch = _batch(connection, batch_id)
            # More than the claim: a claim goes on past suppressed messages.
            chosen = _choose(connection, batch, max(most, _MOST_SEARCHED), now, least_tried=probing)
            contents = contents_of(connection, batch, chosen, usable)

            def readable(row: Row[Any]) -> UUID:
                draft_of(row)
                if row.content not in contents:
                    raise PermanentError("the content of the message cannot be read")
                if row.attempts >= _MOST_ATTEMPTS:
                    raise PermanentError("the attempts of the message cannot be counted")
                return cast(UUID, row.id)

            sound = set(usable(chosen, readable))
            bad = [row.id for row in chosen if row.id not in sound]
            values: dict[str, Any] = {"status": Status.FAILED, "reason": OutboundReason.UNREADABLE}
            return move(connection, _message.id.in_(bad), now=now, **values)

    def settle(self, outcomes: Sequence[Outcome], *, now: datetime) -> None:
        """Record the outcomes of sending."""
        rows = [outcome_values(outcome) for outcome in outcomes]
        again = [UUID(row["id"]) for row in rows if not row["kept"]]
        # Past the gate: the provider was called, and the outcome must be recorded if that is possible.
        with transaction(self._engine, "commit of settle", gated=False) as connection:
            parameters = {
                "rows": json.dumps(rows),
                "now": now,
                "ours": [*WAITING, Status.HELD],
                "unanswered": [*UNANSWERED],
            }
            cancelled = cancelled_batches(connection, again)
            for row in connection.execute(SETTLE, parameters).all():
                give_back(connection, row.tenant, row.mails, now)
            suppress_refused(connection, hard_refusals(outcomes), now)
            if cancelled:
                waits = _message.id.in_(again) & _message.batch_id.in_(cancelled) & text(IS_WAITING)
                move(connection, waits, now=now, status=Status.CANCELLED, reason=OutboundReason.CANCELLED)
            for batch_id, reason in held_batches(connection, again):
                back = _message.id.in_(again) & (_message.batch_id == batch_id) & text(IS_WAITING)
                hold(connection, back, reason, now)
            count_given_up(connection, rows)
            order_deferred(connection, rows)

    def defer(self, batch_id: str, *, until: datetime, reason: str, now: datetime) -> int:
        """Defer due messages to `until`, with an order for that time."""
        with transaction(self._engine, "commit of defer") as connection:
            return _defer(connection, _batch(connection, batch_id), until, reason, now)

    def strand(self, *, before: datetime, now: datetime) -> int:
        """Change messages that have been `sending` since before `before` to `unknown`, and return how many."""
        if self._restores is not None:
            self._restores.trail()
        lost = (_message.status == Status.SENDING) & (_message.handed_at < before)
        with transaction(self._engine, "commit of strand") as connection:
            return move(connection, lost, now=now, status=Status.UNKNOWN, reason=OutboundReason.WORKER_GONE)

    def unknown(
        self,
        *,
        before: datetime,
        limit: int,
        after: datetime | None = None,
        providers: Collection[str] | None = None,
        policy: ResendPolicy | None = None,
    ) -> list[UnknownMessage]:
        """Return messages whose outcome is unknown, oldest first; see the port."""
        wanted_policies = list(ResendPolicy) if policy is None else [policy]
        wanted = (
            select(_message.id, _message.batch_id, _message.attempts, _message.provider, _message.handed_at)
            .add_columns(_batches.c.policy)
            .join_from(_messages, _batches, _batches.c.id == _message.batch_id)
            .where(_message.status == Status.UNKNOWN, _message.handed_at < before)
            .where(_batches.c.policy.in_(wanted_policies), ~met_lately(Loop.SETTLE, "message", _message.id))
            .order_by(_message.handed_at, _message.id)
            .limit(limit)
        )
        # Without these conditions, messages that only a person can resolve would come first in every call.
        if after is not None:
            wanted = wanted.where(_message.handed_at >= after)
        if providers is not None:
            wanted = wanted.where(_message.provider.in_(providers))
        if policy is not None:
            wanted = wanted.where(_batches.c.cancelled_at.is_(None), ~is_held_batch())
        with stepping_over(self._engine, Loop.SETTLE, "message") as usable, transaction(self._engine) as connection:
            return usable(connection.execute(wanted), _unknown_of)

    def step_over(self, message_id: str, error: Exception) -> None:
        """Skip an unknown outcome for a while after an error."""
        note_skipped(self._engine, Loop.SETTLE, [(f"message {message_id}", why(error))])

    def resend(self, message_ids: Sequence[str], *, now: datetime) -> int:
        """Queue messages again that are still `unknown` and whose batch is neither cancelled nor held; return how many."""
        ids = [UUID(message_id) for message_id in message_ids]

        def requeue(connection: Connection) -> int:
            cancelled = cancelled_batches(connection, ids)
            stopped = cancelled + [batch_id for batch_id, _ in held_batches(connection, ids)]
            again = _message.id.in_(ids) & (_message.status == Status.UNKNOWN) & _message.batch_id.not_in(stopped)
            batches = connection.execute(select(_message.batch_id).where(again).distinct()).scalars().all()
            keep_attempts(connection, again, now)
            values: dict[str, Any] = {"reason": OutboundReason.SENT_AGAIN, "handed_at": None, "due_at": now}
            moved = move(connection, again, now=now, status=Status.QUEUED, **values)
            for batch_id in batches:
                order(connection, batch_id, now)
            return moved

        return transact(self._engine, self._restores, "commit of resend", requeue)

    def read_file(self, tenant: str, sha256: str) -> bytes:
        """Return the bytes of an attachment that was submitted with its batch."""
        wanted = select(_files.c.content).where(_files.c.tenant == tenant, _files.c.sha256 == sha256)
        with transaction(self._engine) as connection:
            content = connection.execute(wanted).scalar_one_or_none()
        if content is None:
            raise LookupError("no such file")
        return bytes(content)


def _batch(connection: Connection, batch_id: str) -> Batch:
    row = connection.execute(select(_batches).where(owned(_batches, None, batch_id))).first()
    if row is None:
        raise LookupError("no such batch")
    return with_stream(connection, batch_of(row))


def _plan(connection: Connection, batch_id: str, now: datetime) -> Planned:
    batch = _batch(connection, batch_id)
    # Before any message is locked: the relay too locks orders before messages.
    _begin_orders(connection, batch, now)
    hold_put_back(connection, batch, now)
    left = waiting(UUID(batch.id))
    expired = _expire(connection, batch, now)
    suppressed = move(
        connection,
        left & _message.recipient.in_(_suppressed(batch, now)),
        now=now,
        row_facts=_listed_by(batch, now),
        status=Status.SUPPRESSED,
        reason=OutboundReason.SUPPRESSED,
    )
    due = func.count().filter(_message.due_at <= now)
    later, by_recipient = _message.due_at > now, is_by_recipient()
    next_at = func.min(_message.due_at).filter(later, ~by_recipient)
    deferred = func.count().filter(later, by_recipient), func.min(_message.due_at).filter(later, by_recipient)
    row = connection.execute(select(func.count(), due, next_at, *deferred).where(left)).one()
    return Planned(
        lane=batch.lane,
        policy=batch.policy,
        due=row[1],
        later=row[0] - row[1],
        suppressed=suppressed,
        expired=expired,
        next_at=row[2],
        deferred=row[3],
        deferred_until=None if row[4] == batch.expires_at else row[4],
    )


def _claim(
    connection: Connection, batch_id: str, most: int, provider: str, now: datetime, facts: dict[str, str], probing: bool
) -> list[Claimed]:
    batch = _batch(connection, batch_id)
    _expire(connection, batch, now)
    # Before any message is locked: deferring waits for messages, and the transaction that has them may wait for the quota.
    counted = not is_test(batch.metadata)
    room, opens_at = room_for(connection, batch.tenant, now) if counted else (None, now)
    while chosen := _choose(connection, batch, most, now, least_tried=probing):
        sendable = _without_suppressed(connection, batch, chosen, now)
        if not sendable:
            continue
        going = sendable if room is None else sendable[:room]
        if not going:
            _defer(connection, batch, opens_at, OutboundReason.QUOTA, now)
            return []
        if counted:
            spend(connection, batch.tenant, len(going), now)
        claims = _send(connection, batch, going, provider, now, facts)
        count_attempts(connection, batch, len(claims))
        return claims
    return []


def _begin_orders(connection: Connection, batch: Batch, now: datetime) -> None:
    """Record that a run began with the orders of this batch that are due."""
    mine = (_orders.c.batch_id == UUID(batch.id)) & _orders.c.begun_at.is_(None)
    connection.execute(update(_orders).where(mine, _orders.c.due_at <= now + _EARLY).values(begun_at=now))


def _expire(connection: Connection, batch: Batch, now: datetime) -> int:
    if batch.expires_at is None or batch.expires_at > now:
        return 0
    return move(connection, waiting(UUID(batch.id)), now=now, status=Status.EXPIRED, reason=OutboundReason.EXPIRED)


def _suppressed(batch: Batch, now: datetime) -> Any:
    column = _suppressions.c
    here, still = or_(column.tenant == batch.tenant, column.tenant.is_(None)), column.expires_at
    in_scope = covers(batch.tenant, batch.stream_name)
    return select(column.address).where(here, or_(still.is_(None), still > now), in_scope)


def _listed_by(batch: Batch, now: datetime) -> dict[str, ColumnElement[Any]]:
    """Return the fact `list` (`tenant` or `global`) of a suppressed message: all that its tenant sees of the global list."""
    mine = _suppressed(batch, now).where(
        _suppressions.c.tenant == batch.tenant, _suppressions.c.address == _message.recipient
    )
    return {"list": case((mine.correlate(_messages).exists(), "tenant"), else_="global")}


def _choose(
    connection: Connection, batch: Batch, most: int, now: datetime, *, least_tried: bool = False
) -> list[Row[Any]]:
    order_of = (_message.attempts, _message.number) if least_tried else (_message.number,)
    due = select(_messages).where(waiting(UUID(batch.id)), _message.due_at <= now).order_by(*order_of)
    return list(connection.execute(due.limit(most).with_for_update(skip_locked=True)))


def _without_suppressed(
    connection: Connection, batch: Batch, chosen: Sequence[Row[Any]], now: datetime
) -> list[Row[Any]]:
    recipients = [row.recipient for row in chosen]
    wanted = _suppressed(batch, now).where(_suppressions.c.address.in_(recipients))
    stopped = set(connection.execute(wanted).scalars())
    if stopped:
        ids = [row.id for row in chosen if row.recipient in stopped]
        listed = _listed_by(batch, now)
        values: dict[str, Any] = {"status": Status.SUPPRESSED, "reason": OutboundReason.SUPPRESSED}
        move(connection, _message.id.in_(ids), now=now, row_facts=listed, **values)
    return [row for row in chosen if row.recipient not in stopped]


def _defer(connection: Connection, batch: Batch, until: datetime, reason: str, now: datetime) -> int:
    due = waiting(UUID(batch.id)) & (_message.due_at <= now)
    moved = move(connection, due, now=now, status=Status.DEFERRED, reason=reason, due_at=until)
    order(connection, UUID(batch.id), until)
    return moved


def _send(
    connection: Connection, batch: Batch, going: Sequence[Row[Any]], provider: str, now: datetime, facts: dict[str, str]
) -> list[Claimed]:
    ids = [row.id for row in going]
    values: dict[str, Any] = {"handed_at": now, "attempts": _message.attempts + 1, "provider": provider}
    move(connection, _message.id.in_(ids), now=now, facts=facts, status=Status.SENDING, reason=None, **values)
    contents = contents_of(connection, batch, going)
    refusals = earlier_refusals(connection, going)
    return [
        Claimed(
            batch=batch,
            draft=draft_of(row),
            content=contents[row.content],
            attempt=row.attempts + 1,
            handed_at=now,
            refusals=refusals.get(row.id, NONE_YET).times,
            first_refused_at=refusals.get(row.id, NONE_YET).first_at,
        )
        for row in going
    ]


def _row_name(row: Row[Any]) -> str:
    """Return the id of a message's row, or the name of a content's row."""
    stored = row._mapping
    return str(stored["id"]) if "id" in stored else f"content {row.batch_id}/{row.number}"


def _unknown_of(row: Row[Any]) -> UnknownMessage:
    return UnknownMessage(
        message_id=str(row.id),
        batch_id=str(row.batch_id),
        attempt=row.attempts,
        provider=row.provider,
        handed_at=row.handed_at,
        policy=ResendPolicy(row.policy),
    )
