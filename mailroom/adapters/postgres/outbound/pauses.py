"""Pauses of providers' accounts in SQL. The row of a pause is locked while its probe is given out, so one worker gets it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import table
from mailroom.adapters.postgres.outbound.models import IS_WAITING, BatchRow, MessageRow
from mailroom.adapters.postgres.outbound.pause_rows import ProviderPauseRow
from mailroom.adapters.postgres.outbound.rows import order
from mailroom.domain.errors import MailroomError
from mailroom.domain.outbound.content_rules import on_the_wire
from mailroom.domain.outbound.pauses import AFTER_PROBE, PAUSING, PROBE_LASTS, paused_sender, pausing, waits
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.ports.pauses import Admission, Pause

_pauses, _batches, _messages = table(ProviderPauseRow), table(BatchRow), table(MessageRow)
_pause, _message = _pauses.c, _messages.c

#: The pause of a whole account has no sender's domain.
_ACCOUNT = ""
_MOST_CODE = 80


class SqlPauses:
    """The port `Pauses` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def admit(self, identity: str, sender_domain: str, *, now: datetime, may_probe: bool = True) -> Admission:
        """Return whether this sender may send through this account now; see the port."""
        wanted = select(_pauses).where(_of(identity, sender_domain)).order_by(_pause.sender_domain)
        with transaction(self._engine) as connection:
            rows = connection.execute(wanted).all()
            if not rows:
                return Admission()
            last = max(rows, key=lambda row: row.until)
            if last.until > now:
                return Admission(pause_of(last), last.until)
            if may_probe and _probes(connection, wanted, now):
                return Admission(probe=True)
        return Admission(pause_of(last), now + AFTER_PROBE)

    def begin(
        self, error: MailroomError, *, identity: str, provider: str, sender_domain: str, now: datetime
    ) -> Pause | None:
        """Pause the account or the sender's domain, or prolong a pause whose time has come."""
        reason = pausing(error)
        if reason is None:
            return None
        # The fact may name another domain than the batch's From: the pause must stop the batch that met it.
        domain = _ACCOUNT if paused_sender(error) is None else sender_domain
        first, later = waits(error)
        code = str(error.facts.get("code") or error.facts.get("status") or "")[:_MOST_CODE]
        values = {"provider": provider, "reason": reason.value, "code": code, "probing_until": None}
        row = insert(_pauses).values(
            identity=identity, sender_domain=domain, since=now, until=now + first, probes=0, **values
        )
        again = {**values, "until": now + later, "probes": _pause.probes + 1}
        key = ["identity", "sender_domain"]
        with transaction(self._engine, "commit of pause") as connection:
            connection.execute(row.on_conflict_do_update(index_elements=key, set_=again, where=_pause.until <= now))
            return pause_of(connection.execute(select(_pauses).where(_one(identity, domain))).one())

    def end(self, identity: str, sender_domain: str | None, *, now: datetime) -> bool:
        """End a pause whose time has come."""
        ended = delete(_pauses).where(_one(identity, sender_domain or _ACCOUNT), _pause.until <= now)
        with transaction(self._engine, "commit of pause") as connection:
            return connection.execute(ended).rowcount > 0

    def postpone(self, identity: str, sender_domain: str, *, until: datetime, now: datetime) -> None:
        """Move the pauses that a probe could not decide."""
        past = update(_pauses).where(_of(identity, sender_domain), _pause.until <= now)
        with transaction(self._engine, "commit of pause") as connection:
            connection.execute(past.values(until=until, probing_until=None))

    def probe_now(self, identity: str, sender_domain: str | None, *, now: datetime) -> int | None:
        """Make the next probe due, and the batches that wait for it."""
        domain = _ACCOUNT if sender_domain is None else _domain_of(f"x@{sender_domain}")
        if domain is None:
            return None
        due = update(_pauses).where(_one(identity, domain)).values(until=func.least(_pause.until, now))
        with transaction(self._engine, "commit of pause") as connection:
            provider = connection.execute(
                due.values(probing_until=None).returning(_pause.provider)
            ).scalar_one_or_none()
            if provider is None:
                return None
            # A message that was put off before its first attempt has no provider yet.
            its = or_(_message.provider == provider, _message.provider.is_(None))
            waiting = text(IS_WAITING), _message.reason.in_(PAUSING), _message.due_at > now, its
            of_these = select(_message.batch_id, _batches.c["from"]).join(_batches, _batches.c.id == _message.batch_id)
            found = connection.execute(of_these.where(*waiting).distinct()).all()
            ids = [row.batch_id for row in found if domain in (_ACCOUNT, _sender_domain(row._mapping["from"]))]
            moved = update(_messages).where(_message.batch_id.in_(ids), *waiting)
            connection.execute(moved.values(due_at=now, changed_at=now))
            for batch_id in ids:
                order(connection, batch_id, now)
        return len(ids)

    def all(self) -> Sequence[Pause]:
        """Return all pauses, by identity and domain."""
        with transaction(self._engine) as connection:
            return all_pauses(connection)


def waiting_pauses(connection: Connection, batches: Sequence[Row[Any]]) -> dict[Any, Pause]:
    """Return the pause that holds messages of these batches back, by batch id: the longest, of the account or of its sender."""
    ours = _message.batch_id.in_([row.id for row in batches])
    waits_for_it = select(_message.batch_id, _message.provider).where(ours, text(IS_WAITING))
    waits = connection.execute(waits_for_it.where(_message.reason.in_(PAUSING)).distinct()).all()
    if not waits:
        return {}
    providers: dict[Any, set[str | None]] = {row.id: set() for row in batches}
    for one in waits:
        providers[one.batch_id].add(one.provider)
    pauses, found = all_pauses(connection), dict[Any, Pause]()
    for row in batches:
        domain, tried = _sender_domain(row._mapping["from"]), providers[row.id]
        # A message that was put off before its first attempt has no provider yet.
        mine = [one for one in pauses if one.sender_domain in (None, domain) and tried & {one.provider, None}]
        if mine:
            found[row.id] = max(mine, key=lambda one: one.until)
    return found


def _sender_domain(sender: Any) -> str | None:
    """Return the domain of a stored From as the gate stores it; None for one that cannot be read."""
    return _domain_of(str(sender.get("address", ""))) if isinstance(sender, dict) else None


def _domain_of(address: str) -> str | None:
    try:
        return on_the_wire(address).rpartition("@")[2].lower()
    except MailroomError:
        return None


def all_pauses(connection: Connection) -> list[Pause]:
    """Return all pauses, by identity and domain."""
    rows = connection.execute(select(_pauses).order_by(_pause.identity, _pause.sender_domain))
    return [pause_of(row) for row in rows]


def pause_of(row: Row[Any]) -> Pause:
    """Return a stored pause; a reason that this release does not know is that of a paused account."""
    return Pause(
        identity=row.identity,
        provider=row.provider,
        sender_domain=row.sender_domain or None,
        since=row.since,
        until=row.until,
        probes=row.probes,
        reason=OutboundReason.read(row.reason) or OutboundReason.ACCOUNT_PAUSED,
        code=row.code,
    )


def _one(identity: str, sender_domain: str) -> ColumnElement[bool]:
    return (_pause.identity == identity) & (_pause.sender_domain == sender_domain)


def _of(identity: str, sender_domain: str) -> ColumnElement[bool]:
    return (_pause.identity == identity) & _pause.sender_domain.in_([_ACCOUNT, sender_domain])


def _probes(connection: Connection, wanted: Any, now: datetime) -> bool:
    """Return whether this caller probes: all its pauses have ended, and no other caller probes one of them."""
    rows = connection.execute(wanted.with_for_update()).all()
    if any(row.until > now or (row.probing_until is not None and row.probing_until > now) for row in rows):
        return False
    for row in rows:
        mine = update(_pauses).where(_one(row.identity, row.sender_domain))
        connection.execute(mine.values(probing_until=now + PROBE_LASTS))
    # Ended meanwhile: nothing is paused any more, and one message first does no harm.
    return True
