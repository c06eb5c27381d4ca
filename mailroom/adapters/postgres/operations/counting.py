"""Counts of inbound mail, items and workers, for the metrics: one pass over the ledger."""

from collections import defaultdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, literal, select, text
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.inbound.other_notices import counted_notices
from mailroom.adapters.postgres.models import InboundEmailRow, InboxItemRow, ProcessingRow, WorkerRow, table
from mailroom.adapters.postgres.skipped_rows import sound
from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.inbound.received_email import State
from mailroom.ports.inbox_reader import TIMES_S, Census, EmailCount, FilingTimes, WorkerLine

_email, _worker, _done = table(InboundEmailRow).c, table(WorkerRow).c, table(ProcessingRow).c


def census(connection: Connection) -> Census:
    """Return the counts of the whole installation."""
    rows = list(connection.execute(_groups()))
    items = connection.execute(select(func.count()).select_from(InboxItemRow)).scalar_one()
    values = _worker.name, _worker.beat_at, _worker.in_hand, _worker.paused_by, _worker.held_by
    workers = connection.execute(select(*values))
    lines = tuple(WorkerLine(**row._mapping) for row in workers)
    failed = {row.processor: row.mails for row in connection.execute(_failed())}
    return Census(_tallies(rows), items, _times(rows), lines, failed, counted_notices(connection))


def _groups() -> Any:
    # date_part gives a double; extract gives a numeric, at twice the time for all of it.
    took: ColumnElement[Any] = func.date_part("epoch", _email.closed_at - _email.received_at)
    # Impossible times cannot be subtracted, and one infinite time would make the whole sum infinite.
    took_s: ColumnElement[Any] = case((sound(_email.closed_at) & sound(_email.received_at), took))
    # width_bucket counts what is below the first bound as 0; a bound itself belongs to the next slot.
    slot = case((_email.state == State.FILED, func.width_bucket(took_s, array([literal(bound) for bound in TIMES_S]))))
    keys = _email.state, _email.reason, _email.route, slot.label("slot")
    counted = (
        func.count().label("emails"),
        func.coalesce(func.min(_email.received_at).filter(sound(_email.received_at)), func.now()).label("oldest"),
        func.sum(took_s).label("sum_s"),
    )
    return select(*keys, *counted).group_by(*keys)


def _failed() -> Any:
    # The stored name may have the tenant as well, after a slash.
    processor = func.split_part(_done.processor, "/", 1).label("processor")
    return select(processor, func.count().label("mails")).where(text("state = 'failed'")).group_by(processor)


def _tallies(rows: list[Row[Any]]) -> tuple[EmailCount, ...]:
    grouped: dict[tuple[Any, str, str], list[Row[Any]]] = defaultdict(list)
    for row in rows:
        # Rows of up to 0.1.0 have the old word of a reason, and are counted with those of the new one.
        grouped[row.state, InboundReason.old_word(row.reason) or "", row.route or ""].append(row)
    return tuple(
        EmailCount(
            State(state) if state in set(State) else state,
            reason or None,
            sum(row.emails for row in of),
            min(row.oldest for row in of),
            route or None,
        )
        for (state, reason, route), of in sorted(grouped.items())
    )


def _times(rows: list[Row[Any]]) -> FilingTimes:
    counts = [0] * (len(TIMES_S) + 1)
    filed = [row for row in rows if row.slot is not None]
    for row in filed:
        counts[row.slot] += row.emails
    return FilingTimes(tuple(counts), float(sum(row.sum_s or 0 for row in filed)))
