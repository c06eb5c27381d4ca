"""Messages that their recipients' servers do not take now: how often so far, the orders for the next tries, and the end.

A message's history has each such attempt, as `deferred` with the reason `recipient_unavailable`. It is written with the outcome
and never changed, so no column counts them; once a message has ended, a later attempt begins a new schedule.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, case, func, literal_column, select, text
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.delivery.suppressing import suppress_given_up
from mailroom.adapters.postgres.models import table
from mailroom.adapters.postgres.outbound.models import IS_WAITING, MessageRow
from mailroom.adapters.postgres.outbound.rows import order
from mailroom.domain.outbound.message import SendingStage, Status
from mailroom.domain.outbound.reasons import OutboundReason

_messages = table(MessageRow)
_message = _messages.c

_ENDED = [status.value for status in Status if status.stage in (SendingStage.REFUSED, SendingStage.WITHHELD)]
_OURS = f"activity.event_id is null and activity.kind = '{Status.DEFERRED}'"
_IS_REFUSAL = f"{_OURS} and activity.facts->>'reason' = '{OutboundReason.RECIPIENT_UNAVAILABLE}'"

_REFUSALS = text(f"""
    select message_id, count(*) as refusals, min(at) as first_at from activity
    where message_id = any(:ids) and {_IS_REFUSAL} and id > coalesce((
        select max(id) from activity as ended
        where ended.message_id = activity.message_id and ended.event_id is null and ended.kind = any(:ended)), 0)
    group by message_id
""")  # noqa: S608 - constants
#: The time of the latest of these attempts' next tries, of a message in the statement around it.
_NEXT_TRY = (
    "(select max((activity.facts->>'due_at')::timestamptz) from activity"  # noqa: S608 - constants
    f" where activity.message_id = message.id and {_IS_REFUSAL})"
)
#: One order for each time; one that no run has begun yet counts for these messages too.
_ORDER = text(f"""
    insert into outbox (batch_id, due_at)
    select distinct batch_id, due_at from message
    where id = any(:ids) and reason = '{OutboundReason.RECIPIENT_UNAVAILABLE}' and {IS_WAITING} and not exists (
        select from outbox as there
        where there.batch_id = message.batch_id and there.begun_at is null and there.due_at = message.due_at)
""")  # noqa: S608 - constants


class Refusals(NamedTuple):
    """How often a recipient's server took no mail for a message so far, and when first."""

    times: int
    first_at: datetime | None


NONE_YET = Refusals(0, None)


def is_by_recipient() -> ColumnElement[bool]:
    """Return the condition that a waiting message waits for its recipient's server; never null."""
    return _message.reason.is_not_distinct_from(OutboundReason.RECIPIENT_UNAVAILABLE.value)


def earliest_by_recipient(due_at: datetime) -> ColumnElement[datetime]:
    """Return when a waiting message may be sent: at `due_at`, or later at its next try by its recipient's schedule."""
    next_try: ColumnElement[datetime] = literal_column(_NEXT_TRY)
    # Most messages were not tried yet, and their history need not be read.
    return case((_message.attempts > 0, func.greatest(due_at, next_try)), else_=due_at)


def earlier_refusals(connection: Connection, rows: Sequence[Row[Any]]) -> Mapping[UUID, Refusals]:
    """Return the refusals of these messages before the present attempt; messages without any are left out."""
    ids = [row.id for row in rows if row.attempts]
    if not ids:
        return {}
    refusals = connection.execute(_REFUSALS, {"ids": ids, "ended": _ENDED})
    return {row.message_id: Refusals(row.refusals, row.first_at) for row in refusals}


def order_deferred(connection: Connection, outcomes: Sequence[Mapping[str, Any]]) -> None:
    """Write orders for messages that these outcomes deferred: the run that dispatches them may have ended by then."""
    later = [UUID(one["id"]) for one in outcomes if one["status"] == Status.DEFERRED]
    if not later:
        return
    connection.execute(_ORDER, {"ids": later})
    with_batch = select(_message.batch_id, func.max(_message.due_at)).where(_message.id.in_(later), ~is_by_recipient())
    with_batch = with_batch.where(_message.status.not_in([Status.CANCELLED, Status.HELD]))
    for batch_id, due_at in connection.execute(with_batch.group_by(_message.batch_id)).all():
        order(connection, batch_id, due_at)


def count_given_up(connection: Connection, outcomes: Sequence[Mapping[str, Any]]) -> None:
    """Count messages that were tried in vain until the end like soft bounces: providers report them as such."""
    ended = [UUID(one["id"]) for one in outcomes if one["reason"] == OutboundReason.RECIPIENT_GAVE_UP]
    if ended:
        suppress_given_up(connection, ended)
