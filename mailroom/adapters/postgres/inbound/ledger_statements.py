"""The ledger's statements that every received e-mail needs, built once: building one takes longer than executing it.

A row changes together with its activity: both are one statement, which is a transaction by itself.
Common parameters: `which` is the row's id, `now` the time, `details` the facts of the activity.
"""

from typing import Any

from sqlalchemy import ColumnElement, Insert, Integer, Text, Update, bindparam, func, insert, or_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY

from mailroom.adapters.postgres.models import InboundActivityRow, InboundEmailRow, table
from mailroom.domain.inbound.received_email import State

_emails, _activities = table(InboundEmailRow), table(InboundActivityRow)
_email, _activity = _emails.c, _activities.c


def _noted(change: Insert | Update, kind: ColumnElement[str], *, wanted: Any = _email.id) -> Any:
    """Return the statement that changes a row, adds an activity of this kind, and returns the `wanted` columns."""
    changed = change.returning(wanted).cte("changed")
    values = bindparam("now", type_=_activity.at.type), kind, bindparam("details", type_=_activity.facts.type)
    names = ["email_id", "at", "kind", "facts"]
    note = insert(_activities).from_select(names, select(changed.c.id, *values), include_defaults=False)
    return select(changed).add_cte(note.cte("noted"))


def _kind(name: str) -> ColumnElement[str]:
    return bindparam("what", name, type_=Text)


def _new(name: str) -> ColumnElement[Any]:
    return bindparam(f"new_{name}", type_=_email[name].type)


_changed = update(_emails).where(_email.id == bindparam("which"))

#: `name`: of the object. Transactions that find or make the row of the same object wait here for each other.
LOCK = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("name", type_=Text), 0)))

_versions = bindparam("versions", type_=ARRAY(Text))

#: `in_bucket`, `at_key`; `versions`, None being all.
FIND = (
    select(_emails)
    .where(_email.bucket == bindparam("in_bucket"), _email.key == bindparam("at_key"))
    .where(or_(_versions.is_(None), _email.version == func.any(_versions)))
    .order_by(_email.version.desc(), _email.received_at.desc())
    .limit(1)
)

_made = insert(_emails).values(
    id=text("gen_random_uuid()"),
    state=State.RECEIVED,
    facts={},
    attempts=0,
    deaths=0,
    archive_ids=[],
    tenants=[],
    **{
        name: _new(name)
        for name in ("bucket", "key", "version", "message_id", "envelope", "received_at", "worker", "beat_at")
    },
)

#: `new_` and the name of each column that differs by e-mail; without an activity, because no notification came.
MAKE = _made.returning(_emails)

#: As `MAKE`, with the activity `received`.
RECEIVE = _noted(_made, _kind("received"), wanted=_emails)

#: `new_run_id`, `new_worker`, `new_beat_at`, `new_deaths`.
BEGIN = _noted(
    _changed.values(
        attempts=_email.attempts + 1,
        state=State.PROCESSING,
        **{name: _new(name) for name in ("run_id", "worker", "beat_at", "deaths")},
    ),
    _kind("started"),
    wanted=_emails,
)

_ROUTED = "tenants", "scan", "route", "unrouted"

#: `new_` and each name of `_ROUTED`.
ROUTE = _noted(_changed.values({name: _new(name) for name in _ROUTED}), _kind("routed"))

_kept = func.unnest(bindparam("kept", type_=ARRAY(Text))).column_valued("one")

#: `kept`: ids of deposits; those that the row does not have yet are added.
DEPOSIT = _noted(
    _changed.values(
        archive_ids=func.array_cat(
            _email.archive_ids, func.array(select(_kept).where(_kept != func.all(_email.archive_ids)).scalar_subquery())
        )
    ),
    _kind("archived"),
)

_attempt = bindparam("attempt", type_=Integer)

#: `new_state`, `new_reason`, `new_facts`, `what` (the kind of the activity); `attempt`, None being any. Returns no row when
#: the e-mail is filed already or a later attempt has it.
CLOSE = _noted(
    _changed.where(_email.state != State.FILED, or_(_attempt.is_(None), _email.attempts == _attempt)).values(
        closed_at=bindparam("now", type_=_email.closed_at.type),
        beat_at=None,
        **{name: _new(name) for name in ("state", "reason", "facts")},
    ),
    bindparam("what", type_=Text),
)
