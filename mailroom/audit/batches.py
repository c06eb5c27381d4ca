"""Batches: no message was sent twice, and accepted messages agree with what the receiving end counted."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg

from mailroom.audit.report import Report

#: Statuses of messages that the provider accepted, whatever happened then.
_TAKEN = frozenset({"dispatched", "delivered", "opened", "clicked", "bounced", "complained"})
#: It may have been received or not.
_UNKNOWN = "unknown"

_MOST_IDS = 1000


@dataclass(slots=True)
class Submissions:
    """Counts of both ends: messages of each accepted batch, and how often each message was received."""

    batches: dict[str, int] = field(default_factory=dict)
    received: Counter[str] = field(default_factory=Counter)

    def write(self, file: Path) -> None:
        """Write the counts to `file`, one JSON object per line."""
        with file.open("w") as lines:
            for batch_id, messages in self.batches.items():
                lines.write(json.dumps({"batch": batch_id, "messages": messages}) + "\n")
            for message_id, times in self.received.items():
                lines.write(json.dumps({"received": message_id, "times": times}) + "\n")


def read_submissions(file: Path) -> Submissions:
    """Return the counts of a file written by `Submissions.write`."""
    values = Submissions()
    with file.open() as lines:
        for line in map(json.loads, lines):
            if "batch" in line:
                values.batches[line["batch"]] = line["messages"]
            else:
                values.received[line["received"]] += line["times"]
    return values


def check_stories(connection: psycopg.Connection[Any], report: Report) -> None:
    """Find messages that were sent to a provider again too early, or although the attempt before did not end with nothing sent."""
    for message_id, before, early in connection.execute(_AGAIN, {"waiting": list(_WAITING)}):
        if early:
            what = "its recipient's server was tried again before the time that was set for it; stop the worker and report the fault"
            report.violate("tried early", message_id, what)
            continue
        report.violate("sent twice", message_id, f"status {before} was followed by sending; check with the recipient")
    for status, messages in connection.execute(_STATUSES):
        report.counts[f"messages {status}"] = messages


def check_submissions(connection: psycopg.Connection[Any], submissions: Submissions, report: Report) -> None:
    """Compare each message of these batches with the count of the receiving end: never twice, and once if accepted."""
    known: set[str] = set()
    for batch_id, messages in submissions.batches.items():
        rows = connection.execute(_MESSAGES, {"batch": batch_id}).fetchall()
        known.update(message_id for message_id, _, _ in rows)
        if len(rows) != messages:
            report.violate("lost", batch_id, f"{messages} messages were accepted, but the database has {len(rows)}")
        for message_id, status, again in rows:
            _check_message(message_id, status, again, submissions.received[message_id], report)
    for some in _some(submissions.received.keys() - known):
        # Of another batch, or of none.
        there = {message_id for (message_id,) in connection.execute(_KNOWN, {"ids": some})}
        for message_id in set(some) - there:
            report.violate("strange mail", message_id, "received, but in no batch")


def _check_message(message_id: str, status: str, again: bool, times: int, report: Report) -> None:
    report.counts["received"] += times
    if times > 1 and not again:
        report.violate("received twice", message_id, f"the receiving server has it {times} times")
    elif times > 1:
        report.counts["received again"] += 1
    elif times == 0 and status in _TAKEN:
        report.violate("not received", message_id, f"status {status}, but the receiving server does not have it")
    if times and status not in _TAKEN and status != _UNKNOWN:
        report.violate("received unawares", message_id, f"status {status}, but the receiving server has it")


def _some(ids: Iterable[str]) -> Iterator[list[str]]:
    left = iter(sorted(ids))
    while some := list(islice(left, _MOST_IDS)):
        yield some


#: Our own activities of a message that no provider has.
_WAITING = ("accepted", "queued", "scheduled", "rescheduled", "deferred", "resumed")

_AGAIN = """
select message_id::text, before, coalesce(early, false)
  from (select message_id, kind, lag(kind) over own as before,
               case when kind = 'sending' and lag(kind) over own = 'deferred'
                         and lag(facts) over own ->> 'reason' = 'recipient_unavailable'
                    then at < (lag(facts) over own ->> 'due_at')::timestamptz end as early
          from activity where event_id is null window own as (partition by message_id order by id)) as ours
 where kind = 'sending' and (before <> all(%(waiting)s) or early)
 order by message_id
"""

_STATUSES = "select status, count(*) from message group by status order by status"

#: A `deferred` message that was sent is deferred by its provider, which has it.
_MESSAGES = """
select m.id::text, case when m.status = 'deferred' and m.handed_at is not null then 'dispatched' else m.status end,
       exists (select from activity a where a.message_id = m.id and a.kind in ('queued', 'scheduled') and a.facts ->> 'reason' = 'sent_again')
  from message m where m.batch_id = %(batch)s::uuid
"""

_KNOWN = "select id::text from message where id = any(%(ids)s::uuid[])"
