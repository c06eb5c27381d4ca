"""Windows of what is new in an inbox: complete when they are read, so that a client misses nothing and gets nothing twice.

Every item has `listed_at`, the database's clock when it was put into the inbox. Its transaction commits later, and another
with a later time may commit first; a client that continued from that one would miss it. So each filing holds, until it has
committed, a shared advisory lock that names the second in which it began, before it reads the clock. `listed_until` returns
the earliest such second, or the time before it looked at the locks. A filing that it did not see takes its times afterwards.

No one waits for these locks: they are read from `pg_locks`, which needs no rights.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, func, text, true

from mailroom.adapters.postgres.models import InboxItemRow, table
from mailroom.ports.inbox_reader import Window

_item = table(InboxItemRow).c

#: When an item was put into the inbox. Items of 0.1.0 have the time of their filing, by a worker's clock.
LISTED_AT: ColumnElement[datetime] = func.coalesce(_item.listed_at, _item.filed_at)

#: The class of the locks; their number counts seconds from `_FIRST` and fits in 31 bits until 2088.
_CLASS, _FIRST = 1_834_028_046, datetime(2020, 1, 1, tzinfo=UTC)

#: In the select list of the first statement of a filing.
FILING = func.pg_advisory_xact_lock_shared(
    text(str(_CLASS)),
    text(f"cast(floor(extract(epoch from clock_timestamp())) - {int(_FIRST.timestamp())} as integer)"),
).label("filing")

_NOW = text("select clock_timestamp()")
_EARLIEST = text(
    "select min(cast(objid as bigint)) from pg_locks where locktype = 'advisory' and objsubid = 2 and classid = :class"
    " and database = (select oid from pg_database where datname = current_database())"
)


def listed_until(connection: Connection) -> datetime:
    """Return the time before which every filing has committed."""
    # In this order, and each by itself: what takes its lock after the second statement takes its time after the first.
    now: datetime = connection.execute(_NOW).scalar_one()
    earliest = connection.execute(_EARLIEST, {"class": _CLASS}).scalar_one()
    return now if earliest is None else min(now, _FIRST + timedelta(seconds=earliest))


def within(at: ColumnElement[datetime], window: Window | None) -> ColumnElement[bool]:
    """Return the condition that `at` is in the window; None is any time."""
    return true() if window is None else (at >= window.since) & (at < window.until)
