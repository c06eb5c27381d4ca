"""Sending again, in SQL: one statement for a message or for all of a batch, so that two that ask at once make one attempt.

lock the batch (a cancel waits) ─> keep needed files ─> lock, judge and queue the messages ─> one order
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.delivery.scopes import with_stream, withholding
from mailroom.adapters.postgres.models import table
from mailroom.adapters.postgres.operations.restores import SqlRestores, transact
from mailroom.adapters.postgres.outbound.holds import SqlHolds
from mailroom.adapters.postgres.outbound.models import BatchRow, MessageRow
from mailroom.adapters.postgres.outbound.outcomes import is_held_batch
from mailroom.adapters.postgres.outbound.rows import batch_of, member_of, order, owned
from mailroom.domain.outbound.message import Status
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.domain.outbound.resending import RESENDABLE, NotResent, never_resent
from mailroom.ports.resends import ResendGroup, Resent

_batches, _messages = table(BatchRow), table(MessageRow)
_batch, _message = _batches.c, _messages.c

_CHOSEN = """
    select message.id, message.status, message.reason, message.attempts, message.provider, message.provider_message_id,
        case when cast(:obstacle as text) is not null then :obstacle
            when message.status = 'unknown' and not :may_duplicate then 'may_duplicate'
            when exists (select from suppression where suppression.address = message.recipient
                and (suppression.tenant = message.tenant
                    or suppression.tenant is null and (:with_global or message.status = 'suppressed'))
                and suppression.scope = any(cast(:scopes as text[]))
                and (suppression.expires_at is null or suppression.expires_at > :now)) then 'still_suppressed'
            when message.content = any(cast(:gone as int[])) then 'content_gone'
        end as obstacle
    from message
    where message.batch_id = :batch and message.status = any(:statuses)
        and (cast(:message as uuid) is null or message.id = :message)
        and (cast(:reasons as text[]) is null or message.reason = any(:reasons))
    order by message.id
"""
_COUNTED = "select status, reason, obstacle, count(*) as messages from chosen group by 1, 2, 3 order by 1, 2, 3"

_JUDGE = text(f"with chosen as ({_CHOSEN}) {_COUNTED}")
_RESEND = text(f"""
    with chosen as ({_CHOSEN} for update of message), kept as (
        insert into earlier_attempt (message_id, attempt, provider, provider_message_id, status, resent_at)
        select id, attempts, provider, provider_message_id, status, :now from chosen
        where obstacle is null and attempts > 0
        on conflict do nothing
    ), changed as (
        update message set status = :status, due_at = :due_at, handed_at = null, provider = null,
            provider_message_id = null, changed_at = :now,
            reason = case when chosen.status = 'unknown' then :sent_again else :resent end
        from chosen where message.id = chosen.id and chosen.obstacle is null
        returning message.id, message.status, message.reason, chosen.status as was
    ), noted as (
        insert into activity (message_id, at, kind, facts)
        select id, :now, status, jsonb_build_object('reason', reason, 'due_at', cast(:due_at as timestamptz),
            'was', was, 'by', cast(:by as text)) from changed
    ) {_COUNTED}
""")  # noqa: S608 - constants

#: What the messages that may be chosen need of the outbox's own files; what cannot be read needs nothing here.
_NEEDED = text("""
    select distinct content.number, enclosure->>'sha256' as sha256
    from content cross join jsonb_array_elements(
        case jsonb_typeof(content.enclosures) when 'array' then content.enclosures else '[]' end) as enclosure
    where content.batch_id = :batch and enclosure->>'archive_id' is null and content.number in (
        select message.content from message where message.batch_id = :batch and message.status = any(:statuses)
            and (cast(:message as uuid) is null or message.id = :message))
""")
_THERE = "select sha256 from file where tenant = :tenant and sha256 = any(:names) order by sha256"
_FILES, _LOCK_FILES = text(_THERE), text(f"{_THERE} for no key update")
# As for a new batch: what was wanted just now is not forgotten before its message has gone.
_WANT_FILES = text("update file set created_at = :now where tenant = :tenant and sha256 = any(:names)")


class SqlResends(SqlHolds):
    """The port `Resends` on PostgreSQL; with `restores`, nothing is ordered from a database that was restored."""

    def __init__(self, engine: Engine, restores: SqlRestores | None = None) -> None:
        super().__init__(engine)
        self._restores = restores

    def resend_message(
        self,
        tenant: str | None,
        message_id: str,
        *,
        may_duplicate: bool = False,
        dry_run: bool = False,
        by: str,
        now: datetime,
    ) -> Resent | None:
        """Send one message again, or say why not; see the port."""
        one = owned(_messages, tenant, message_id)
        asked = {"with_global": tenant is None, "may_duplicate": may_duplicate, "by": by, "now": now}

        def resend(connection: Connection) -> Resent | None:
            found = connection.execute(select(_message.id, _message.batch_id).where(one)).first()
            if found is None:
                return None
            batch = _locked(connection, None, str(found.batch_id), dry_run)
            resent = _resend(connection, batch, {**asked, "message": found.id}, dry_run=dry_run)
            return resent if resent.groups else _never(connection, resent, found.id)

        return self._done(resend, dry_run)

    def resend_batch(
        self,
        tenant: str | None,
        batch_id: str,
        *,
        statuses: Collection[Status] = RESENDABLE,
        reasons: Collection[str] = (),
        may_duplicate: bool = False,
        dry_run: bool = False,
        by: str,
        now: datetime,
    ) -> Resent | None:
        """Send messages of a batch again; see the port."""
        asked = {"with_global": tenant is None, "may_duplicate": may_duplicate, "by": by, "now": now}
        chosen = {"statuses": sorted(RESENDABLE & set(statuses)), "reasons": _spellings(reasons)}

        def resend(connection: Connection) -> Resent | None:
            batch = _locked(connection, tenant, batch_id, dry_run)
            return _resend(connection, batch, asked | chosen, dry_run=dry_run) if batch is not None else None

        return self._done(resend, dry_run)

    def _done(self, resend: Any, dry_run: bool) -> Resent | None:
        restores = None if dry_run else self._restores
        resent: Resent | None = transact(self._engine, restores, "commit of resend", resend)
        return resent


def _spellings(reasons: Collection[str]) -> list[str] | None:
    """Return the words by which rows may have these reasons; None for all."""
    known = [(reason, OutboundReason.read(reason)) for reason in reasons]
    return sorted({word for given, one in known for word in (one.spellings if one else {given})}) or None


def _locked(connection: Connection, tenant: str | None, batch_id: str, dry_run: bool) -> Row[Any] | None:
    """Return a batch; a cancel that comes meanwhile waits for the end of this transaction, and then finds what waits."""
    held = is_held_batch().label("is_held")
    wanted = select(_batches, held).where(owned(_batches, tenant, batch_id))
    if not dry_run:
        connection.execute(select(_batch.id).where(owned(_batches, tenant, batch_id)).with_for_update(read=True))
    return connection.execute(wanted).first()


def _resend(connection: Connection, batch: Any, asked: dict[str, Any], *, dry_run: bool) -> Resent:
    now: datetime = asked["now"]
    due_at = max(batch.send_at or now, now)
    values = {"batch": batch.id, "message": None, "reasons": None, "statuses": sorted(RESENDABLE)} | asked
    values |= {
        "obstacle": _obstacle(batch, now),
        "scopes": _scopes(connection, batch),
        "gone": _gone(connection, batch, values, dry_run=dry_run),
    }
    if dry_run:
        del values["by"]
        rows = connection.execute(_JUDGE, values).all()
    else:
        status = Status.SCHEDULED if due_at > now else Status.QUEUED
        values |= {"status": status, "due_at": due_at}
        values |= {"sent_again": OutboundReason.SENT_AGAIN, "resent": OutboundReason.RESENT}
        rows = connection.execute(_RESEND, values).all()
    resent = Resent(batch_id=str(batch.id), due_at=due_at, groups=_groups(rows))
    if resent.messages and not dry_run:
        order(connection, batch.id, due_at)
    return resent


def _scopes(connection: Connection, batch: Any) -> list[str]:
    """Return the scopes of suppressions that withhold this batch's mail now, as when it is sent."""
    stream = with_stream(connection, batch_of(batch)).stream_name
    return list(connection.execute(select(withholding(batch.tenant, stream))).scalar_one())


def _obstacle(batch: Any, now: datetime) -> NotResent | None:
    """Return why nothing of this batch is sent, or None."""
    if batch.cancelled_at is not None:
        return NotResent.BATCH_CANCELLED
    if batch.expires_at is not None and batch.expires_at <= max(batch.send_at or now, now):
        return NotResent.BATCH_EXPIRED
    return NotResent.BATCH_HELD if batch.is_held else None


def _gone(connection: Connection, batch: Any, values: dict[str, Any], *, dry_run: bool) -> list[int]:
    """Return the contents of which a file is no longer kept; the files that are there stay for another while."""
    asked = {name: values[name] for name in ("batch", "statuses", "message")}
    needed = connection.execute(_NEEDED, asked).all()
    if not needed:
        return []
    files = {"tenant": batch.tenant, "names": sorted({row.sha256 for row in needed})}
    there = set(connection.execute(_FILES if dry_run else _LOCK_FILES, files).scalars())
    if not dry_run:
        connection.execute(_WANT_FILES, {**files, "now": values["now"]})
    return sorted({row.number for row in needed if row.sha256 not in there})


def _groups(rows: Collection[Row[Any]]) -> tuple[ResendGroup, ...]:
    """Return the counts, those of a reason's two spellings as one."""
    counts: dict[tuple[Status, str | None, NotResent | None], int] = {}
    for row in rows:
        known = OutboundReason.read(row.reason)
        obstacle = NotResent.read(row.obstacle)
        key = member_of(Status, row.status), known.value if known else row.reason, obstacle
        counts[key] = counts.get(key, 0) + row.messages
    return tuple(
        ResendGroup(status=status, reason=reason, obstacle=obstacle, messages=messages)
        for (status, reason, obstacle), messages in counts.items()
    )


def _never(connection: Connection, resent: Resent, message_id: UUID) -> Resent:
    """Return why a message of another status is not sent again."""
    row = connection.execute(select(_messages).where(_message.id == message_id)).one()
    status = member_of(Status, row.status)
    # Between two statements it may have become what can be sent again: the next request finds it so.
    obstacle = never_resent(status, submitted=row.handed_at is not None) or NotResent.UNDER_WAY
    known = OutboundReason.read(row.reason)
    group = ResendGroup(status=status, reason=known.value if known else row.reason, obstacle=obstacle, messages=1)
    return Resent(batch_id=resent.batch_id, due_at=resent.due_at, groups=(group,))
