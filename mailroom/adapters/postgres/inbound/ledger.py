"""The ledger of received e-mails, in SQL. Each call is one transaction: the row and its activity change together.

The statements that every e-mail needs are in `ledger_statements`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, and_, case, func, insert, literal_column, or_, select, update
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.archive.archived_mails import record_deposits
from mailroom.adapters.postgres.archive.journal import append_entries
from mailroom.adapters.postgres.engine import statement, transaction
from mailroom.adapters.postgres.inbound import ledger_statements as statements
from mailroom.adapters.postgres.inbound import tracing
from mailroom.adapters.postgres.inbound.reasons import has_reason
from mailroom.adapters.postgres.inbound.rows import (
    check_attempt,
    entry_of,
    envelope_json,
    routes_json,
    scan_json,
    taken_over,
    was_missing,
)
from mailroom.adapters.postgres.inbox.withdrawing import withdraw
from mailroom.adapters.postgres.models import InboundActivityRow, InboundEmailRow, InboxItemRow, table
from mailroom.adapters.postgres.operations.restores import restored_at
from mailroom.adapters.postgres.skipped_rows import met_lately, note_skipped, stepping_over
from mailroom.domain.errors import Reason, TransientError
from mailroom.domain.inbound.filing_policy import Scan
from mailroom.domain.inbound.notifications import can_be_announced
from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.inbound.received_email import (
    CANCELLED,
    FINAL,
    MOST_DEATHS,
    UNSETTLED,
    Arrival,
    Entry,
    Envelope,
    ObjectRef,
    State,
)
from mailroom.domain.inbound.routing import Route
from mailroom.ports.ledger import Lease
from mailroom.ports.manifests import KeptManifest
from mailroom.ports.monitoring import Loop

_emails, _activities = table(InboundEmailRow), table(InboundActivityRow)
_email, _item = _emails.c, table(InboxItemRow).c

_RESTORED_AT = literal_column("(select restored_at from installation)", _email.closed_at.type)


class SqlLedger:
    """The port `Ledger` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def register(self, arrival: Arrival, *, now: datetime, claim: Lease | None = None) -> Entry | None:
        """Return the entry of this arrival, or None while another worker's lease is alive; see the port."""
        with transaction(self._engine, "commit of register") as connection:
            row, new = _find_or_make(connection, arrival, now, claim)
            if new:
                return entry_of(row)
            if arrival.envelope is not None and row.envelope is None:
                closed = row.state in FINAL
                state = State.RECEIVED if closed else row.state
                row = _change(connection, row.id, envelope=envelope_json(arrival.envelope), state=state)
                _note(connection, row.id, "reopened" if closed else "notified", now)
            elif row.state in FINAL and (was_missing(row) or _lacked_envelope(connection, row)):
                row = _change(connection, row.id, state=State.RECEIVED)
                _note(connection, row.id, "reopened", now)
            if claim is not None and row.state not in FINAL:
                if not _is_free(row, claim):
                    return None
                row = _change(connection, row.id, **_leased(connection, row, claim, now))
            return entry_of(row)

    def release(self, email_id: str, *, worker: str) -> None:
        """End the lease of `worker`."""
        mine = (_email.id == UUID(email_id)) & (_email.worker == worker)
        # Past the gate, as heartbeats: a paused worker keeps its leases, and a release counts as no death.
        with transaction(self._engine, "commit of release", gated=False) as connection:
            opened = case((_email.state == State.PROCESSING, State.RECEIVED), else_=_email.state)
            connection.execute(update(_emails).where(mine).values(beat_at=None, state=opened))

    def begin(self, ref: ObjectRef, *, now: datetime, run_id: str | None = None, claim: Lease | None = None) -> Entry:
        """Record that processing starts (again)."""
        with transaction(self._engine, "commit of begin") as connection:
            row = _find(connection, ref) or connection.execute(statements.MAKE, _made_of(Arrival(ref), now)).one()
            if row.state == State.FILED:
                return entry_of(row)
            run = UUID(run_id) if run_id else row.run_id
            taken: dict[str, Any] = {}
            if claim is not None:
                if not _is_free(row, claim) or _runs_elsewhere_here(row, claim, run):
                    raise taken_over(row)
                taken = _leased(connection, row, claim, now)
            held = {"worker": row.worker, "beat_at": row.beat_at, "deaths": row.deaths} | taken
            facts = _known(attempt=row.attempts + 1, run_id=run_id)
            begun = {"which": row.id, "now": now, "details": facts} | _new(run_id=run, **held)
            return entry_of(connection.execute(statements.BEGIN, begun).one())

    def heartbeat(self, email_ids: Sequence[str], *, worker: str, now: datetime) -> None:
        """Record a heartbeat of `worker` for these e-mails."""
        if not email_ids:
            return
        # A late heartbeat must not renew a lease that was released meanwhile.
        held = (_email.worker == worker) & _email.beat_at.is_not(None)
        mine = _email.id.in_([UUID(email_id) for email_id in email_ids]) & held
        with transaction(self._engine, "commit of beat", gated=False) as connection:
            connection.execute(update(_emails).where(mine).values(beat_at=now))

    def deposited(
        self,
        email_id: str,
        *,
        archive_ids: Sequence[str],
        now: datetime,
        manifests: Sequence[str] = (),
        archived: Sequence[KeptManifest] = (),
    ) -> None:
        """Record deposits and manifests of this e-mail, besides those that are recorded already."""
        facts = _known(deposits=len(archive_ids), manifests=list(manifests) or None)
        kept = {"which": UUID(email_id), "now": now, "kept": list(dict.fromkeys(archive_ids)), "details": facts}
        with statement(self._engine, "commit of deposited") as connection:
            record_deposits(connection, kept, archived)

    def recall(self, email_id: str, *, envelope: Envelope | None, received_at: datetime, now: datetime) -> Entry:
        """Record the envelope that the archive has of this e-mail, and return its entry; see the port."""
        recalled_envelope = envelope_json(envelope) if envelope else None
        with transaction(self._engine) as connection:
            line = select(_emails).where(_email.id == UUID(email_id)).with_for_update()
            row = connection.execute(line).one()
            reopened = recalled_envelope is not None and row.envelope is None and row.state in FINAL
            state = State.RECEIVED if reopened else row.state
            row = _change(
                connection, row.id, envelope=row.envelope or recalled_envelope, received_at=received_at, state=state
            )
            _note(connection, row.id, "recalled", now, recipients=len(envelope.recipients) if envelope else None)
            if reopened:
                _note(connection, row.id, "reopened", now)
            return entry_of(row)

    def routed(
        self,
        email_id: str,
        routes: Sequence[Route],
        *,
        now: datetime,
        scan: Scan | None = None,
        held: Mapping[str, Reason] | None = None,
        word: str | None = None,
        unrouted: Sequence[str] | None = None,
    ) -> None:
        """Record the recipients of this e-mail with the reasons, the scanner's result, and the tenants that it is held for."""
        tenants, looked = sorted({to.tenant for to in routes}), scan_json(scan) if scan else None
        facts = _known(routes=routes_json(routes), scan=looked, held=held or None)
        missed = None if unrouted is None else list(unrouted)
        routed = _new(tenants=tenants, scan=looked, route=word or (routes[0].why if routes else None), unrouted=missed)
        with statement(self._engine, "commit of routed") as connection:
            connection.execute(statements.ROUTE, {"which": UUID(email_id), "now": now, "details": facts} | routed).one()

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
        """Record how processing ended, and return the e-mail's state."""
        # A quarantine withdraws filed items in the same transaction; every other close is one statement.
        within = transaction if state is State.QUARANTINED else statement
        with within(self._engine, "commit of close") as connection:
            if _close(connection, UUID(email_id), state, now, reason=reason, facts=facts or {}, attempt=attempt):
                return state
            current = connection.execute(select(_emails).where(_email.id == UUID(email_id))).one()
        if current.state == State.FILED:
            return State.FILED
        check_attempt(current, attempt)
        raise TransientError("this e-mail was replayed in the meantime")

    def record_death(self, email_id: str, *, now: datetime, facts: Mapping[str, Any]) -> State:
        """Record that the e-mail killed the process that worked on it; see the port."""
        with transaction(self._engine) as connection:
            row = connection.execute(select(_emails).where(_email.id == UUID(email_id)).with_for_update()).one()
            if row.state == State.FILED:
                return State.FILED
            deaths = row.deaths + 1
            values = {**facts, "deaths": deaths}
            _change(connection, row.id, deaths=deaths)
            state, reason = (
                (State.QUARANTINED, Reason.POISON)
                if deaths >= MOST_DEATHS
                else (State.FAILED, InboundReason.PROCESS_DIED)
            )
            _close(connection, row.id, state, now, reason=reason, facts=values)
            return state

    def find(self, any_id: str) -> Entry | None:
        """Return the entry by its own id, SES's message id, an item's id or a run's id."""
        try:
            uuid = UUID(any_id)
        except ValueError:
            match = _email.message_id == any_id
        else:
            by_item = select(_item.email_id).where(_item.id == uuid).scalar_subquery()
            match = or_(_email.id == uuid, _email.run_id == uuid, _email.id == by_item)
        with transaction(self._engine) as connection:
            row = connection.execute(select(_emails).where(match).limit(1)).first()
            return entry_of(row, looked_up=True) if row else None

    def select(self, *, states: Sequence[State], reason: str | None, since: datetime | None, limit: int) -> list[Entry]:
        """Return entries in these states, oldest first."""
        wanted = select(_emails).where(_email.state.in_(list(states)), has_reason(_email.reason, reason))
        if since is not None:
            wanted = wanted.where(_email.received_at >= since)
        with stepping_over(self._engine, Loop.LISTS, "e-mail") as usable, transaction(self._engine) as connection:
            return usable(connection.execute(wanted.order_by(_email.received_at, _email.id).limit(limit)), entry_of)

    def silent(self, *, before: datetime, limit: int) -> list[Entry]:
        """Return open entries without a heartbeat since `before`, oldest first; see the port."""
        wanted = select(_emails).where(or_(_email.state.in_(UNSETTLED), _failed_before_restore()))
        wanted = wanted.where(func.coalesce(_email.beat_at, _email.received_at) < before)
        wanted = wanted.where(~met_lately(Loop.SWEEP_INBOUND, "e-mail", _email.id))
        ordered = wanted.order_by(_email.received_at, _email.id).limit(limit)
        with (
            stepping_over(self._engine, Loop.SWEEP_INBOUND, "e-mail") as usable,
            transaction(self._engine) as connection,
        ):
            return usable(connection.execute(ordered), entry_of)

    def blind(self, *, before: datetime | None, limit: int) -> list[Entry]:
        """Return entries that were closed without an envelope before a restore, newest first; see the port."""
        # Earlier versions stored a missing envelope as JSON's null.
        blind = func.coalesce(func.jsonb_typeof(_email.envelope), "null") == "null"
        closed = _email.state.in_([State.FILED, State.QUARANTINED]) & blind
        wanted = select(_emails).where(closed, _email.closed_at < _RESTORED_AT)
        if before is not None:
            wanted = wanted.where(_email.received_at < before)
        ordered = wanted.order_by(_email.received_at.desc(), _email.id).limit(limit)
        with transaction(self._engine) as connection:
            return [entry_of(row) for row in connection.execute(ordered)]

    def restored_at(self) -> datetime | None:
        """Return when the database was last recognised as restored; None: never."""
        with transaction(self._engine) as connection:
            return restored_at(connection)

    def known(self, bucket: str, keys: Sequence[str]) -> set[str]:
        """Return which of these objects have an entry, and those whose key rules one out; see the port."""
        odd = [key for key in keys if not can_be_announced(key)]
        note_skipped(self._engine, Loop.SWEEP_INBOUND, [(f"object {key!a}", "invalid object key") for key in odd])
        wanted = select(_email.key).where(_email.bucket == bucket, _email.key.in_([*{*keys} - {*odd}]))
        with transaction(self._engine) as connection:
            return {*connection.execute(wanted).scalars(), *odd}

    def trace(self, email_id: str) -> dict[str, Any]:
        """Return everything recorded on one e-mail."""
        with transaction(self._engine) as connection:
            return tracing.trace(connection, UUID(email_id))


def _find_or_make(
    connection: Connection, arrival: Arrival, now: datetime, claim: Lease | None
) -> tuple[Row[Any], bool]:
    """Return the object's row and whether it is new; a new one has the lease `claim` at once."""
    row = _find(connection, arrival.ref)
    if row is not None:
        return row, False
    noted = {"now": now, "details": {"by": _source(arrival.envelope)}}
    return connection.execute(statements.RECEIVE, _made_of(arrival, now, claim) | noted).one(), True


def _find(connection: Connection, ref: ObjectRef) -> Row[Any] | None:
    """Return the object's row, or None; until this transaction ends, no other transaction makes or finds it.

    SES's notification has no object version and the S3 event may have one: a row without version takes the first version
    that comes; a notification with another version is another e-mail.
    """
    connection.execute(statements.LOCK, {"name": f"{ref.bucket}/{ref.key}"})
    versions = ["", ref.version] if ref.version else None
    wanted = {"in_bucket": ref.bucket, "at_key": ref.key, "versions": versions}
    row: Row[Any] | None = connection.execute(statements.FIND, wanted).first()
    if row is not None and ref.version and not row.version:
        return _change(connection, row.id, version=ref.version)
    return row


def _made_of(arrival: Arrival, now: datetime, claim: Lease | None = None) -> dict[str, Any]:
    ref, envelope = arrival.ref, arrival.envelope
    return _new(
        bucket=ref.bucket,
        key=ref.key,
        version=ref.version,
        message_id=ref.message_id,
        envelope=envelope_json(envelope) if envelope else None,
        received_at=envelope.received_at if envelope else now,
        worker=claim.worker if claim else None,
        beat_at=now if claim else None,
    )


def _change(connection: Connection, email_id: UUID, **values: Any) -> Row[Any]:
    changed = update(_emails).where(_email.id == email_id).values(**values)
    return connection.execute(changed.returning(_emails)).one()


def _close(
    connection: Connection,
    email_id: UUID,
    state: State,
    now: datetime,
    *,
    reason: str | None,
    facts: Mapping[str, Any],
    attempt: int | None = None,
) -> bool:
    """Close the e-mail unless it is filed or a later attempt than `attempt` has it; return whether that was done."""
    fields = {"which": email_id, "now": now, "what": state.value, "details": _known(reason=reason, **facts)}
    values = _new(state=state, reason=reason, facts=dict(facts)) | {"attempt": attempt}
    closed = connection.execute(statements.CLOSE, fields | values).first()
    # A missing object says nothing about what was filed of it, perhaps for another tenant.
    if closed is not None and state is State.QUARANTINED and reason != Reason.GONE:
        _withdraw(connection, email_id, now, reason)
    return closed is not None


def _note(connection: Connection, email_id: UUID, kind: str, now: datetime, /, **facts: Any) -> None:
    # Positional-only, because a fact may be named `kind`.
    connection.execute(insert(_activities).values(email_id=email_id, at=now, kind=kind, facts=_known(**facts)))


def _new(**values: Any) -> dict[str, Any]:
    return {f"new_{name}": value for name, value in values.items()}


def _known(**facts: Any) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _withdraw(connection: Connection, email_id: UUID, now: datetime, reason: str | None) -> None:
    """Withdraw items that were filed before: they are no longer shown, and nothing is deleted."""
    items, entries = withdraw(connection, email_id, now=now, reason=reason, state=State.QUARANTINED)
    if items:
        _note(connection, email_id, "withdrawn", now, reason=reason, items=items)
        append_entries(connection, entries)


def _lacked_envelope(connection: Connection, row: Row[Any]) -> bool:
    """Return whether the last attempt began before the envelope came: its routing may be wrong."""
    if row.envelope is None:
        return False
    newest = select(_activities.c.kind).where(
        _activities.c.email_id == row.id, _activities.c.kind.in_(("started", "notified"))
    )
    return bool(connection.execute(newest.order_by(_activities.c.id.desc()).limit(1)).scalar() == "notified")


def _failed_before_restore() -> ColumnElement[bool]:
    """Return the condition that an e-mail failed, uncancelled, before a restore: its outcome after the dump is not known."""
    uncancelled = or_(_email.reason.is_(None), _email.reason.not_in(CANCELLED.spellings))
    return and_(_email.state == State.FAILED, uncancelled, _email.closed_at < _RESTORED_AT)


def _is_free(row: Row[Any], claim: Lease) -> bool:
    return row.beat_at is None or row.beat_at < claim.stale_before or row.worker == claim.worker


def _runs_elsewhere_here(row: Row[Any], claim: Lease, run: UUID | None) -> bool:
    """Return whether another run in the same worker has the e-mail: a Quick run beside the listener's, or the reverse."""
    alive = row.beat_at is not None and row.beat_at >= claim.stale_before
    return bool(alive and row.state == State.PROCESSING and row.worker == claim.worker and row.run_id != run)


def _leased(connection: Connection, row: Row[Any], claim: Lease, now: datetime) -> dict[str, Any]:
    """Return the columns of a lease for this worker.

    An attempt that another worker began and neither closed nor released counts as a death.
    """
    taken: dict[str, Any] = {"worker": claim.worker, "beat_at": now}
    if row.state == State.PROCESSING and row.worker is not None and row.worker != claim.worker:
        _note(connection, row.id, "died", now, attempt=row.attempts, worker=row.worker)
        taken["deaths"] = row.deaths + 1
    return taken


def _source(envelope: Envelope | None) -> str:
    return "ses" if envelope else "s3"
