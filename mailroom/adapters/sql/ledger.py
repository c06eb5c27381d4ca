"""The book of received e-mails, in SQL. Each call is one transaction: the line and its activity change together."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, case, func, insert, or_, select, text, update
from sqlalchemy.engine import Row

from mailroom.adapters.sql import tracing
from mailroom.adapters.sql.engine import transaction
from mailroom.adapters.sql.entries import check_attempt, entry_of, envelope_json, routes_json, scan_json, taken_over
from mailroom.adapters.sql.models import InboundActivityRow, InboundEmailRow, InboxItemRow, table
from mailroom.domain.errors import Reason
from mailroom.domain.inbound import FINAL, MOST_DEATHS, Arrival, Entry, Envelope, ObjectRef, State
from mailroom.domain.routing import Route
from mailroom.domain.trust import Scan
from mailroom.ports import Claim

_emails, _activities, _items = table(InboundEmailRow), table(InboundActivityRow), table(InboxItemRow)
_email, _item = _emails.c, _items.c


#: So often an object that was not there is looked for, when another notice tells of it.
_MOST_LOOKS = 3


class SqlLedger:
    """The port `Ledger` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def register(self, arrival: Arrival, *, now: datetime, claim: Claim | None = None) -> Entry | None:
        """Return the line for this arrival, or None where a living worker has it; see the port."""
        with transaction(self._engine, "commit of register") as connection:
            row, new = _line(connection, arrival.ref, arrival.envelope, now)
            if new:
                _note(connection, row.id, "received", now, by=_source(arrival.envelope))
            elif arrival.envelope is not None and row.envelope is None:
                closed = row.state in FINAL
                state = State.RECEIVED if closed else row.state
                row = _change(connection, row.id, envelope=envelope_json(arrival.envelope), state=state)
                _note(connection, row.id, "reopened" if closed else "notified", now)
            elif row.state in FINAL and (_was_gone(row) or _knew_no_envelope(connection, row)):
                row = _change(connection, row.id, state=State.RECEIVED)
                _note(connection, row.id, "reopened", now)
            if claim is not None and row.state not in FINAL:
                if not _is_free(row, claim):
                    return None
                row = _change(connection, row.id, **_in_hand(connection, row, claim, now))
            return entry_of(row)

    def release(self, email_id: str, *, worker: str) -> None:
        """Give up the claim of `worker`."""
        mine = (_email.id == UUID(email_id)) & (_email.worker == worker)
        with transaction(self._engine, "commit of release") as connection:
            opened = case((_email.state == State.PROCESSING, State.RECEIVED), else_=_email.state)
            connection.execute(update(_emails).where(mine).values(beat_at=None, state=opened))

    def begin(self, ref: ObjectRef, *, now: datetime, run_id: str | None = None, claim: Claim | None = None) -> Entry:
        """Note that processing starts (again)."""
        with transaction(self._engine, "commit of begin") as connection:
            row, _ = _line(connection, ref, None, now)
            if row.state == State.FILED:
                return entry_of(row)
            run = UUID(run_id) if run_id else row.run_id
            taken: dict[str, Any] = {}
            if claim is not None:
                if not _is_free(row, claim) or _runs_elsewhere_here(row, claim, run):
                    raise taken_over(row)
                taken = _in_hand(connection, row, claim, now)
            row = _change(connection, row.id, attempts=_email.attempts + 1, state=State.PROCESSING, run_id=run, **taken)
            _note(connection, row.id, "started", now, attempt=row.attempts, run_id=run_id)
            return entry_of(row)

    def beat(self, email_ids: Sequence[str], *, worker: str, now: datetime) -> None:
        """Note that `worker` has these e-mails in hand."""
        if not email_ids:
            return
        # A claim that was given up meanwhile must not come alive again by a late beat.
        held = (_email.worker == worker) & _email.beat_at.is_not(None)
        mine = _email.id.in_([UUID(email_id) for email_id in email_ids]) & held
        with transaction(self._engine, "commit of beat") as connection:
            connection.execute(update(_emails).where(mine).values(beat_at=now))

    def deposited(self, email_id: str, *, archive_ids: Sequence[str], now: datetime) -> None:
        """Note what the archive keeps of this e-mail, besides what is noted already."""
        with transaction(self._engine, "commit of deposited") as connection:
            line = select(_email.archive_ids).where(_email.id == UUID(email_id)).with_for_update()
            known = connection.execute(line).scalar_one()
            row = _change(connection, UUID(email_id), archive_ids=list(dict.fromkeys([*known, *archive_ids])))
            _note(connection, row.id, "archived", now, deposits=len(archive_ids))

    def routed(
        self,
        email_id: str,
        routes: Sequence[Route],
        *,
        now: datetime,
        scan: Scan | None = None,
        held: Mapping[str, Reason] | None = None,
    ) -> None:
        """Note for whom this e-mail is and why, what the scanner said, and which tenants' policies hold it back."""
        tenants, looked = sorted({to.tenant for to in routes}), scan_json(scan) if scan else None
        with transaction(self._engine, "commit of routed") as connection:
            why = routes[0].why if routes else None
            row = _change(connection, UUID(email_id), tenants=tenants, scan=looked, route=why)
            _note(connection, row.id, "routed", now, routes=routes_json(routes), scan=looked, held=held or None)

    def close(
        self,
        email_id: str,
        state: State,
        *,
        now: datetime,
        reason: str | None = None,
        facts: Mapping[str, Any] | None = None,
        attempt: int | None = None,
    ) -> State:
        """Note how processing ended and return the state that stands."""
        with transaction(self._engine, "commit of close") as connection:
            line = (
                select(_email.state, _email.attempts, _email.run_id)
                .where(_email.id == UUID(email_id))
                .with_for_update()
            )
            standing = connection.execute(line).one()
            if standing.state == State.FILED:
                return State.FILED
            check_attempt(standing, attempt)
            return _close(connection, UUID(email_id), state, now, reason=reason, facts=facts or {})

    def bury(self, email_id: str, *, now: datetime, facts: Mapping[str, Any]) -> State:
        """Note that the process in which the e-mail was worked on has died of it; see the port."""
        with transaction(self._engine) as connection:
            row = connection.execute(select(_emails).where(_email.id == UUID(email_id)).with_for_update()).one()
            if row.state == State.FILED:
                return State.FILED
            deaths = row.deaths + 1
            told = {**facts, "deaths": deaths}
            _change(connection, row.id, deaths=deaths)
            if deaths >= MOST_DEATHS:
                return _close(connection, row.id, State.QUARANTINED, now, reason=Reason.POISON, facts=told)
            return _close(connection, row.id, State.FAILED, now, reason="ProcessDied", facts=told)

    def find(self, any_id: str) -> Entry | None:
        """Return the line by its own id, SES's message id, an item's id or a run's id."""
        try:
            uuid = UUID(any_id)
        except ValueError:
            match = _email.message_id == any_id
        else:
            by_item = select(_item.email_id).where(_item.id == uuid).scalar_subquery()
            match = or_(_email.id == uuid, _email.run_id == uuid, _email.id == by_item)
        with transaction(self._engine) as connection:
            row = connection.execute(select(_emails).where(match).limit(1)).first()
            return entry_of(row) if row else None

    def select(self, *, states: Sequence[State], reason: str | None, since: datetime | None, limit: int) -> list[Entry]:
        """Return lines in these states, oldest first."""
        wanted = select(_emails).where(_email.state.in_(list(states)))
        if reason is not None:
            wanted = wanted.where(_email.reason == reason)
        if since is not None:
            wanted = wanted.where(_email.received_at >= since)
        with transaction(self._engine) as connection:
            rows = connection.execute(wanted.order_by(_email.received_at, _email.id).limit(limit))
            return [entry_of(row) for row in rows]

    def silent(self, *, before: datetime, limit: int) -> list[Entry]:
        """Return lines that are received or processing and without a sign of life since `before`, oldest first."""
        wanted = select(_emails).where(_email.state.in_([State.RECEIVED, State.PROCESSING]))
        wanted = wanted.where(func.coalesce(_email.beat_at, _email.received_at) < before)
        with transaction(self._engine) as connection:
            rows = connection.execute(wanted.order_by(_email.received_at, _email.id).limit(limit))
            return [entry_of(row) for row in rows]

    def known(self, bucket: str, keys: Sequence[str]) -> set[str]:
        """Return which of these objects have a line."""
        wanted = select(_email.key).where(_email.bucket == bucket, _email.key.in_(list(keys)))
        with transaction(self._engine) as connection:
            return set(connection.execute(wanted).scalars())

    def trace(self, email_id: str) -> dict[str, Any]:
        """Return everything recorded on one e-mail."""
        with transaction(self._engine) as connection:
            return tracing.trace(connection, UUID(email_id))


def _line(connection: Connection, ref: ObjectRef, envelope: Envelope | None, now: datetime) -> tuple[Row[Any], bool]:
    """Return the object's line and whether it was made now.

    SES's notification does not say the object's version and the S3 event may: a line without version takes the first
    version that is told; another version told later is another e-mail.
    """
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{ref.bucket}/{ref.key}", 0))))
    same = (_email.bucket == ref.bucket) & (_email.key == ref.key)
    if ref.version:
        same &= _email.version.in_(["", ref.version])
    newest = _email.version.desc(), _email.received_at.desc()
    found = connection.execute(select(_emails).where(same).order_by(*newest).limit(1)).first()
    if found is not None:
        if ref.version and not found.version:
            found = _change(connection, found.id, version=ref.version)
        return found, False
    values = {
        "bucket": ref.bucket,
        "key": ref.key,
        "version": ref.version,
        "message_id": ref.message_id,
        "envelope": envelope_json(envelope) if envelope else None,
        "state": State.RECEIVED,
        "received_at": envelope.received_at if envelope else now,
    }
    return connection.execute(_new(**values)).one(), True


def _new(**values: Any) -> Any:
    defaults: dict[str, Any] = {"facts": {}, "attempts": 0, "deaths": 0, "archive_ids": [], "tenants": []}
    fresh = insert(_emails).values(id=text("gen_random_uuid()"), **defaults, **values)
    return fresh.returning(_emails)


def _change(connection: Connection, email_id: UUID, **values: Any) -> Row[Any]:
    changed = update(_emails).where(_email.id == email_id).values(**values)
    return connection.execute(changed.returning(_emails)).one()


def _close(
    connection: Connection, email_id: UUID, state: State, now: datetime, *, reason: str | None, facts: Mapping[str, Any]
) -> State:
    values = {"state": state, "reason": reason, "facts": dict(facts), "closed_at": now, "beat_at": None}
    _change(connection, email_id, **values)
    _note(connection, email_id, state.value, now, reason=reason, **facts)
    if state is State.QUARANTINED:
        _withdraw(connection, email_id, now, reason)
    return state


def _note(connection: Connection, email_id: UUID, kind: str, now: datetime, /, **facts: Any) -> None:
    # Facts have names of their own, `kind` among them: hence the slash.
    known = {name: value for name, value in facts.items() if value is not None}
    connection.execute(insert(_activities).values(email_id=email_id, at=now, kind=kind, facts=known))


def _withdraw(connection: Connection, email_id: UUID, now: datetime, reason: str | None) -> None:
    """Hide what was filed before this was known: nobody opens it any more, and nothing of it is deleted."""
    shown = (_item.email_id == email_id) & _item.withdrawn_at.is_(None)
    hide = update(_items).where(shown).values(withdrawn_at=now, withdrawn_reason=reason)
    withdrawn = connection.execute(hide.returning(_item.id)).all()
    if withdrawn:
        _note(connection, email_id, "withdrawn", now, reason=reason, items=len(withdrawn))


def _was_gone(row: Row[Any]) -> bool:
    """Tell whether the object was not there when the first notice came; another may tell that it is there by now."""
    return bool(row.state == State.QUARANTINED and row.reason == Reason.GONE and row.attempts < _MOST_LOOKS)


def _knew_no_envelope(connection: Connection, row: Row[Any]) -> bool:
    """Tell whether the last attempt began before another worker was told the envelope; what it did may be wrong."""
    if row.envelope is None:
        return False
    newest = select(_activities.c.kind).where(
        _activities.c.email_id == row.id, _activities.c.kind.in_(("started", "notified"))
    )
    return bool(connection.execute(newest.order_by(_activities.c.id.desc()).limit(1)).scalar() == "notified")


def _is_free(row: Row[Any], claim: Claim) -> bool:
    return row.beat_at is None or row.beat_at < claim.stale_before or row.worker == claim.worker


def _runs_elsewhere_here(row: Row[Any], claim: Claim, run: UUID | None) -> bool:
    """Return whether another run in the same worker has the e-mail: a Quick run beside the listener's, or the reverse."""
    alive = row.beat_at is not None and row.beat_at >= claim.stale_before
    return bool(alive and row.state == State.PROCESSING and row.worker == claim.worker and row.run_id != run)


def _in_hand(connection: Connection, row: Row[Any], claim: Claim, now: datetime) -> dict[str, Any]:
    """Return what the line says once it is in this worker's hands.

    What another worker began and neither closed nor released ended with that worker's death.
    """
    taken: dict[str, Any] = {"worker": claim.worker, "beat_at": now}
    if row.state == State.PROCESSING and row.worker is not None and row.worker != claim.worker:
        _note(connection, row.id, "died", now, attempt=row.attempts, worker=row.worker)
        taken["deaths"] = row.deaths + 1
    return taken


def _source(envelope: Envelope | None) -> str:
    return "ses" if envelope else "s3"
