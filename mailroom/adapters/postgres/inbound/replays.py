"""Replays of many e-mails, in SQL: what is selected is stored at once, and each e-mail's progress with it.

An e-mail is open in one replay at a time, by a unique index: of two replays that begin at once, one gets it. A taken e-mail
is taken again after a while unless its end was recorded, as a message of a queue.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    Connection,
    Engine,
    Select,
    and_,
    case,
    delete,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.inbound.receiving_models import SenderMailRow
from mailroom.adapters.postgres.inbound.replay_groups import all_groups, candidates_of, unrouted_recipients
from mailroom.adapters.postgres.inbound.replay_models import ReplayMailRow, ReplayRow
from mailroom.adapters.postgres.inbound.replay_selection import held_part, selected, too_many
from mailroom.adapters.postgres.inbox.visible_to import owned
from mailroom.adapters.postgres.models import InboundActivityRow, InboundEmailRow, InboxItemRow, table
from mailroom.adapters.postgres.paging import uuid_of
from mailroom.domain.inbound.received_email import FINAL, State
from mailroom.domain.inbound.replaying import FREE_AFTER, GIVEN_UP_AFTER, ReplayAction, ReplayState, is_not_released
from mailroom.ports.replays import (
    Candidate,
    ReasonGroup,
    Replay,
    ReplayedMail,
    ReplayOrder,
    Selected,
    TakenMail,
    UnroutedRecipient,
)

_emails, _items, _senders = table(InboundEmailRow), table(InboxItemRow), table(SenderMailRow)
_replays, _mails = table(ReplayRow), table(ReplayMailRow)
_email, _item, _replay, _mail = _emails.c, _items.c, _replays.c, _mails.c

#: Of a replay so many e-mails are requested at a time in the background: the others wait here, and not in Prefect.
AHEAD = 500
#: Replays are kept for so long after they began.
_KEPT_FOR = timedelta(days=90)
# Literals, so that the partial indexes are used.
_WAITS, _REQUESTED = text("replay_mail.state = 'waiting'"), text("replay_mail.state = 'requested'")
_OPEN = [state for state in ReplayState if state.is_open]
_CLOSED = sorted(FINAL)


class SqlReplays:
    """The port `Replays` on PostgreSQL."""

    def __init__(self, engine: Engine, *, ahead: int = AHEAD) -> None:
        self._engine, self._ahead = engine, ahead

    def groups(self, tenant: str | None) -> Sequence[ReasonGroup]:
        """Return the e-mails that were not filed, by reason."""
        with transaction(self._engine) as connection:
            return all_groups(connection, tenant)

    def unrouted(self, *, limit: int) -> Sequence[UnroutedRecipient]:
        """Return the recipients without an address here."""
        with transaction(self._engine) as connection:
            return unrouted_recipients(connection, limit)

    def count(self, tenant: str | None, order: ReplayOrder) -> Selected:
        """Return the counts of an order."""
        chosen = selected(tenant, order).subquery()
        taken = select(_mail.email_id).where(_mail.email_id == chosen.c.id, _mail.state.in_(_OPEN)).exists()
        counted = (
            func.count().label("mails"),
            func.count().filter(taken).label("elsewhere"),
            func.count().filter(chosen.c.state == State.PROCESSING).label("under_way"),
            func.count(chosen.c.run_id).label("with_run"),
        )
        with transaction(self._engine) as connection:
            rows = connection.execute(select(chosen.c.reason, *counted).group_by(chosen.c.reason)).all()
        reasons = {str(row.reason or ""): row.mails for row in rows}
        sums = {
            name: sum(getattr(row, name) for row in rows) for name in ("mails", "elsewhere", "under_way", "with_run")
        }
        return Selected(**sums, reasons=reasons)

    def sample(self, tenant: str | None, order: ReplayOrder, *, limit: int) -> Sequence[Candidate]:
        """Return the first e-mails of an order."""
        with transaction(self._engine) as connection:
            return candidates_of(connection, selected(tenant, order).limit(min(limit, order.most)).subquery())

    def begin(self, tenant: str | None, order: ReplayOrder, *, by: str, now: datetime) -> Replay:
        """Store a replay of what the order selects now; see the port."""
        self.settle(now=now)
        which, wanted = uuid4(), _wanted(order)
        values = {"tenant": tenant, "action": order.action.value, "wanted": wanted, "requested_by": by}
        with transaction(self._engine, "commit of replay") as connection:
            connection.execute(delete(_replays).where(_replay.created_at < now - _KEPT_FOR))
            connection.execute(insert(_replays).values(id=which, created_at=now, elsewhere=0, **values))
            chosen = selected(tenant, order).cte("chosen")
            lost = _mail.state == ReplayState.REQUESTED, _mail.due_at < now - FREE_AFTER
            free = update(_mails).where(*lost, _mail.email_id.in_(select(chosen.c.id)))
            connection.execute(free.values(state=ReplayState.NOT_BEGUN.value))
            added, others = _add(connection, which, chosen, now)
            connection.execute(update(_replays).where(_replay.id == which).values(elsewhere=others))
        states = {ReplayState.WAITING: added} if added else {}
        return Replay(str(which), tenant, order.action, wanted, by, now, others, states)

    def take(
        self, *, now: datetime, until: datetime, stale_before: datetime, limit: int, replay_id: str | None = None
    ) -> Sequence[TakenMail]:
        """Return waiting e-mails that are due."""
        due = _due(now, limit, UUID(replay_id)) if replay_id else _due_of_all(now, limit, self._ahead)
        leased = and_(_email.state == State.PROCESSING, _email.beat_at >= stale_before)
        columns = (
            due,
            _replay.action,
            _replay.tenant,
            _replay.requested_by,
            func.coalesce(leased, False).label("leased"),
        )
        joined = due.join(_replays, _replay.id == due.c.replay_id).outerjoin(_emails, _email.id == due.c.email_id)
        # Tenants take turns: one with few e-mails does not wait for another's many.
        turn = func.row_number().over(partition_by=_replay.tenant, order_by=(due.c.due_at, due.c.received_at))
        wanted = (
            select(*columns, turn.label("turn"))
            .select_from(joined)
            .order_by(literal_column("turn"), due.c.due_at, due.c.received_at, due.c.email_id)
            .limit(limit)
        )
        with transaction(self._engine) as connection:
            rows = connection.execute(wanted).all()
            if rows:
                mine = tuple_(_mail.replay_id, _mail.email_id).in_([(row.replay_id, row.email_id) for row in rows])
                connection.execute(update(_mails).where(mine).values(due_at=until, tries=_mail.tries + 1))
        return [_taken(row) for row in rows]

    def prepare(self, mail: TakenMail, *, now: datetime) -> bool:
        """Record a release, and open a filed e-mail of which a part is held; see the port."""
        which = UUID(mail.email_id)
        with transaction(self._engine, "commit of release") as connection:
            row = connection.execute(select(_emails).where(_email.id == which).with_for_update()).first()
            if row is None:
                return False
            if row.state == State.FILED:
                limited = select(_senders.c.tenant).where(_senders.c.email_id == which, too_many(mail.tenant))
                held = _tenants(connection, which, held_part(mail.tenant)) | set(connection.execute(limited).scalars())
                if not held:
                    return False
            elif mail.action is ReplayAction.RELEASE and is_not_released(State(row.state), row.reason):
                return False
            if not _opened(connection, row, mail, now):
                return False
            # Processed before it was changed does not count as processed since.
            if mail.replay_id is not None:
                connection.execute(update(_mails).where(_is(mail)).values(attempts=row.attempts))
            return True

    def requested(self, mail: TakenMail, *, now: datetime) -> None:
        """Record that its run is scheduled."""
        self._set(mail, state=ReplayState.REQUESTED.value, due_at=now)

    def postpone(self, mails: Collection[TakenMail], *, until: datetime) -> None:
        """Have these e-mails wait until then."""
        for mail in mails:
            self._set(mail, due_at=until)

    def end(self, mail: TakenMail, state: ReplayState, *, reason: str | None = None) -> None:
        """Record how one e-mail ended."""
        self._set(mail, state=state.value, reason=reason)

    def settle(self, *, now: datetime) -> int:
        """End requested e-mails whose attempt has ended, and those that no worker began within a day."""
        part = select(func.min(_item.withdrawn_reason)).where(
            _item.email_id == _email.id, held_part(None), or_(_replay.tenant.is_(None), _item.tenant == _replay.tenant)
        )
        held = part.scalar_subquery()
        asked = _REQUESTED, _mail.replay_id == _replay.id
        ended = _email.id == _mail.email_id, _email.attempts > _mail.attempts, _email.state.in_(_CLOSED)
        is_filed = _email.state.in_([State.FILED, State.DUPLICATE])
        outcome = case(
            (and_(is_filed, held.is_not(None)), ReplayState.QUARANTINED.value),
            (is_filed, ReplayState.FILED.value),
            else_=_email.state,
        )
        done = update(_mails).where(*asked, *ended).values(state=outcome, reason=func.coalesce(held, _email.reason))
        gone = update(_mails).where(_REQUESTED, _mail.due_at < now - GIVEN_UP_AFTER)
        with transaction(self._engine) as connection:
            settled = connection.execute(done).rowcount
            return int(settled + connection.execute(gone.values(state=ReplayState.NOT_BEGUN.value)).rowcount)

    def find(self, tenant: str | None, replay_id: str) -> Replay | None:
        """Return one replay."""
        uuid = uuid_of(replay_id)
        found = self._all(tenant, _replay.id == uuid, limit=1) if uuid else []
        return found[0] if found else None

    def recent(self, tenant: str | None, *, limit: int) -> Sequence[Replay]:
        """Return the latest replays, newest first."""
        return self._all(tenant, literal(True), limit=limit)

    def mails(
        self, tenant: str | None, replay_id: str, *, states: Collection[ReplayState], limit: int
    ) -> Sequence[ReplayedMail]:
        """Return e-mails of a replay in these states, oldest first."""
        if (uuid := uuid_of(replay_id)) is None:
            return []
        columns = _mail.email_id, _email.message_id, _mail.state, _mail.reason, _mail.received_at, _email.run_id
        of = _mails.join(_replays, _replay.id == _mail.replay_id).join(_emails, _email.id == _mail.email_id)
        wanted = select(*columns).select_from(of).where(_mail.replay_id == uuid, owned(_replay.tenant, tenant))
        wanted = wanted.where(_mail.state.in_([state.value for state in states]))
        with transaction(self._engine) as connection:
            rows = connection.execute(wanted.order_by(_mail.received_at, _mail.email_id).limit(limit)).all()
        return [
            ReplayedMail(
                str(row.email_id),
                row.message_id,
                ReplayState(row.state),
                row.reason,
                row.received_at,
                str(row.run_id) if row.run_id and tenant is None else None,
            )
            for row in rows
        ]

    def _all(self, tenant: str | None, which: Any, *, limit: int) -> list[Replay]:
        wanted = select(_replays).where(which, owned(_replay.tenant, tenant))
        with transaction(self._engine) as connection:
            rows = connection.execute(wanted.order_by(_replay.created_at.desc(), _replay.id).limit(limit)).all()
            counted = select(_mail.replay_id, _mail.state, func.count().label("mails"))
            groups = counted.where(_mail.replay_id.in_([row.id for row in rows])).group_by(_mail.replay_id, _mail.state)
            states: dict[UUID, dict[ReplayState, int]] = {row.id: {} for row in rows}
            for group in connection.execute(groups):
                states[group.replay_id][ReplayState(group.state)] = group.mails
        return [_replay_of(row, states[row.id]) for row in rows]

    def _set(self, mail: TakenMail, **values: Any) -> None:
        with transaction(self._engine) as connection:
            waits = _mail.state == ReplayState.WAITING
            connection.execute(update(_mails).where(_is(mail), waits).values(**values))


def _due_of_all(now: datetime, limit: int, ahead: int) -> Any:
    """Return the first e-mails that are due of each replay, unless enough of it are requested and not begun yet."""
    # Hops from replay to replay over the index of what waits.
    first = select(_mail.replay_id).where(_WAITS).order_by(_mail.replay_id).limit(1)
    replays = select(first.scalar_subquery().label("id")).cte("replays", recursive=True)
    later = first.where(_mail.replay_id > replays.c.id).correlate(replays).scalar_subquery()
    replays = replays.union_all(select(later).where(replays.c.id.is_not(None)))
    requested = _REQUESTED, _mail.replay_id == replays.c.id, _mail.due_at >= now - FREE_AFTER
    count = select(func.count()).where(*requested).correlate(replays).scalar_subquery()
    with_room = select(replays.c.id).where(replays.c.id.is_not(None), count < ahead).cte("with_room")
    found = _first_due(with_room.c.id, now, limit).lateral("found")
    return select(found).select_from(with_room.join(found, literal(True))).cte("due_mails")


def _due(now: datetime, limit: int, replay_id: UUID) -> Any:
    """Return the first e-mails that are due of one replay."""
    return _first_due(literal(replay_id), now, limit).cte("due_mails")


def _first_due(replay_id: Any, now: datetime, limit: int) -> Select[Any]:
    """Return the query that locks them, without those that another process takes now."""
    waits = and_(_WAITS, _mail.replay_id == replay_id, _mail.due_at <= now)
    mails = select(_mails).where(waits).order_by(_mail.due_at, _mail.received_at, _mail.email_id).limit(limit)
    return mails.with_for_update(of=_mails, skip_locked=True)


def _add(connection: Connection, which: UUID, chosen: Any, now: datetime) -> tuple[int, int]:
    """Add what is selected and not open in another replay; return how many, and how many others there were."""
    state, zero = literal(ReplayState.WAITING.value), literal(0)
    rows = select(literal(which), chosen.c.id, state, chosen.c.attempts, zero, literal(now), chosen.c.received_at)
    names = ["replay_id", "email_id", "state", "attempts", "tries", "due_at", "received_at"]
    # In one order, so that two replays that begin at once never wait for each other.
    added = insert(_mails).from_select(names, rows.order_by(chosen.c.id), include_defaults=False)
    is_open = _mail.state.in_([state.value for state in _OPEN])
    kept = added.on_conflict_do_nothing(index_elements=["email_id"], index_where=is_open).returning(_mail.email_id)
    mails = kept.cte("added")
    there = select(func.count()).select_from(chosen).scalar_subquery()
    mine = select(func.count()).select_from(mails).scalar_subquery()
    mine_and_others = connection.execute(select(mine, there - mine)).one()
    return int(mine_and_others[0]), int(mine_and_others[1])


def _opened(connection: Connection, row: Row[Any], mail: TakenMail, now: datetime) -> bool:
    """Change the e-mail's line for a release, or for a part that is held; return whether it changed."""
    release, is_filed, which = mail.action is ReplayAction.RELEASE, row.state == State.FILED, row.id
    concerned = {mail.tenant} if mail.tenant is not None else {*row.tenants}
    before = set(row.released or ())
    released = before | (concerned if release else set())
    if is_filed:
        # What is filed for others stays so, whatever their policies have become.
        released |= _tenants(connection, which, _item.withdrawn_at.is_(None))
    is_closed = row.state in _CLOSED
    freed = is_closed and _freed(connection, which, mail)
    changed = is_filed or freed or released != before
    # A run after the note leaves what the limit holds for others.
    kept = mail.tenant is not None and is_closed and row.attempts <= mail.attempts and _holds(connection, which)
    if changed:
        state = State.RECEIVED if is_filed else row.state
        connection.execute(update(_emails).where(_email.id == which).values(released=sorted(released), state=state))
    facts = {"by": mail.requested_by, "tenants": sorted(concerned)}
    notes = [("released", facts)] if release and changed else []
    notes += [("reopened", {"by": mail.requested_by})] if is_filed or kept else []
    for kind, said in notes:
        note = table(InboundActivityRow).insert().values(email_id=which, at=now, kind=kind, facts=said)
        connection.execute(note)
    return changed


def _freed(connection: Connection, which: UUID, mail: TakenMail) -> bool:
    """Free what the limit of its sender holds for the tenant, of all tenants for an operator; return whether anything was."""
    mine = update(_senders).where(_senders.c.email_id == which, too_many(mail.tenant)).values(held=False)
    return bool(connection.execute(mine).rowcount)


def _holds(connection: Connection, which: UUID) -> bool:
    """Return whether the limit of its sender holds the e-mail for anyone."""
    held = select(literal(True)).where(_senders.c.email_id == which, _senders.c.held).limit(1)
    return connection.execute(held).first() is not None


def _tenants(connection: Connection, which: UUID, condition: Any) -> set[str]:
    wanted = select(_item.tenant).where(_item.email_id == which, condition)
    return set(connection.execute(wanted).scalars())


def _is(mail: TakenMail) -> Any:
    return and_(_mail.replay_id == UUID(str(mail.replay_id)), _mail.email_id == UUID(mail.email_id))


def _taken(row: Row[Any]) -> TakenMail:
    return TakenMail(
        replay_id=str(row.replay_id),
        email_id=str(row.email_id),
        action=ReplayAction(row.action),
        tenant=row.tenant,
        requested_by=row.requested_by,
        attempts=row.attempts,
        again=row.tries > 0,
        is_leased=row.leased,
    )


def _replay_of(row: Row[Any], states: Mapping[ReplayState, int]) -> Replay:
    wanted = row.wanted if isinstance(row.wanted, dict) else {}
    action = ReplayAction(row.action)
    return Replay(str(row.id), row.tenant, action, wanted, row.requested_by, row.created_at, row.elsewhere, states)


def _wanted(order: ReplayOrder) -> dict[str, Any]:
    """Return what was selected, for people; ids are counted, because the e-mails are rows."""
    return {
        "reason": order.reason,
        "states": [state.value for state in order.states],
        "since": order.since.isoformat() if order.since else None,
        "until": order.until.isoformat() if order.until else None,
        "recipient": order.recipient,
        "ids": len(order.ids),
    }
