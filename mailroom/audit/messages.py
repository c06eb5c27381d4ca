"""Conservation of outbound messages: each accepted message is ended or pending, as its history shows."""

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from mailroom.audit.mails import Patience
from mailroom.audit.report import OUTBOUND, Report

_PENDING = ("accepted", "queued", "scheduled", "sending", "deferred", "unknown", "held")

#: Ended on our side; the provider may report more on sent ones (`dispatched`), or nothing.
_ENDED = (
    *("dispatched", "delivered", "opened", "clicked", "bounced", "complained"),
    *("rejected", "failed", "suppressed", "cancelled", "expired"),
)

#: Kinds of activities, besides the one named as the status, that put a message into the status.
_REPORTED_BY = {
    "queued": ("rescheduled", "resumed"),
    "scheduled": ("rescheduled", "resumed"),
    "deferred": ("delayed",),
    "dispatched": ("sent", "other", "autoresponded"),
    # Up to 0.1.0 an automatic reply counted as delivery.
    "delivered": ("opened", "clicked", "unsubscribed", "autoresponded"),
    "bounced": ("bounced_hard", "bounced_soft"),
}

#: The limit of violations of one kind; further ones are found when these are repaired.
_MOST = 1000


def check_messages(connection: psycopg.Connection[Any], report: Report, patience: Patience) -> None:
    """Compare batches with their messages, and messages with their histories."""
    since = {"since": patience.since, "limit": _MOST}
    _balance(connection, report, since)
    for batch in _rows(connection, _MISCOUNTED, since):
        what = f"{batch.accepted} messages were accepted, but the database has {batch.there}"
        report.violate("missing message" if batch.there < batch.accepted else "strange message", batch.id, what)
    for one in _rows(connection, _STRANGE, since | {"known": [*_PENDING, *_ENDED]}):
        report.violate("unknown status", one.id, f"unknown status {one.status}")
    for one in _rows(connection, _UNREPORTED, since | _reporters()):
        report.violate("untold status", one.id, f"status {one.status}, but no activity records it")
    for one in _rows(connection, _UNCOUNTED, since):
        report.violate("attempts", one.id, f"{one.attempts} attempts, but its history has {one.recorded}")
    for one in _rows(connection, _STUCK, since | {"before": patience.now - patience.limit}):
        report.violate("stuck message", one.id, f"{one.status} for too long; inspect it with mailroom trace")


def _balance(connection: psycopg.Connection[Any], report: Report, since: dict[str, Any]) -> None:
    """Count the messages that each tenant submitted, and their statuses."""
    for row in _rows(connection, _ACCEPTED, since):
        report.counts["messages"] += row.messages
        report.balance(OUTBOUND, row.tenant)["came"] += row.messages
    for row in _rows(connection, _STANDING, since):
        if row.status in (*_ENDED, *_PENDING):
            report.balance(OUTBOUND, row.tenant)["ended" if row.status in _ENDED else "pending"] += row.messages


def _reporters() -> dict[str, Any]:
    pairs = [(status, kind) for status in (*_PENDING, *_ENDED) for kind in (status, *_REPORTED_BY.get(status, ()))]
    return {"statuses": [status for status, _ in pairs], "kinds": [kind for _, kind in pairs]}


def _rows(connection: psycopg.Connection[Any], query: str, values: dict[str, Any]) -> Iterator[Any]:
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        yield from cursor.execute(query, values)


_ACCEPTED = """
select b.tenant, sum(b.messages)::bigint as messages from batch b
 where (%(since)s::timestamptz is null or b.created_at >= %(since)s) group by b.tenant
"""

_STANDING = """
select b.tenant, m.status, count(*) as messages
  from message m join batch b on b.id = m.batch_id where (%(since)s::timestamptz is null or b.created_at >= %(since)s) group by b.tenant, m.status
"""

_MISCOUNTED = """
select b.id::text, b.messages as accepted, count(m.id) as there
  from batch b left join message m on m.batch_id = b.id
 where (%(since)s::timestamptz is null or b.created_at >= %(since)s) group by b.id having count(m.id) <> b.messages limit %(limit)s
"""

_STRANGE = """
select m.id::text, m.status from message m join batch b on b.id = m.batch_id
 where (%(since)s::timestamptz is null or b.created_at >= %(since)s) and m.status <> all(%(known)s) limit %(limit)s
"""

_UNREPORTED = """
with tells as (select unnest(%(statuses)s::text[]) as status, unnest(%(kinds)s::text[]) as kind)
select m.id::text, m.status from message m join batch b on b.id = m.batch_id
 where (%(since)s::timestamptz is null or b.created_at >= %(since)s) and m.status in (select status from tells) and not exists (
       select from activity a join tells on tells.kind = a.kind where a.message_id = m.id and tells.status = m.status)
 limit %(limit)s
"""

_UNCOUNTED = """
select m.id::text, m.attempts, recorded from message m join batch b on b.id = m.batch_id
       cross join lateral (select count(*) as recorded from activity a where a.message_id = m.id and a.kind = 'sending') as t
 where (%(since)s::timestamptz is null or b.created_at >= %(since)s) and recorded <> m.attempts limit %(limit)s
"""

# Batches stopped by a breaker wait for an operator and are reported elsewhere.
_STUCK = """
select m.id::text, m.status from message m join batch b on b.id = m.batch_id
 where (%(since)s::timestamptz is null or b.created_at >= %(since)s) and (m.status = 'sending' and m.handed_at < %(before)s
        or m.status in ('accepted', 'queued', 'scheduled', 'deferred') and m.handed_at is null and m.due_at < %(before)s)
   and not exists (select from breaker k where k.tenant = m.tenant and k.closed_at is null
                                           and (k.batch_id is null or k.batch_id = m.batch_id))
 limit %(limit)s
"""
