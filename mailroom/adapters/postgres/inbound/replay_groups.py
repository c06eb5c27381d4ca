"""What may be replayed, for people: by reason, by recipient without an address, and e-mail by e-mail."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Text, cast, func, literal, select
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.inbound.reasons import has_reason
from mailroom.adapters.postgres.inbound.replay_selection import held_part, recipients
from mailroom.adapters.postgres.inbound.rows import envelope_of
from mailroom.adapters.postgres.inbox.visible_to import routed_to
from mailroom.adapters.postgres.models import InboundEmailRow, InboxItemRow, ProcessingRow, table
from mailroom.domain.errors import PermanentError, Reason
from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.inbound.received_email import REPLAYABLE, Envelope, State
from mailroom.ports.replays import Candidate, ReasonGroup, UnroutedRecipient

_email, _item, _done = table(InboundEmailRow).c, table(InboxItemRow).c, table(ProcessingRow).c


def all_groups(connection: Connection, tenant: str | None) -> list[ReasonGroup]:
    """Return the e-mails that were not filed, or not for all their tenants, by reason, the largest group first."""
    times = func.min(_email.received_at).label("oldest"), func.max(_email.received_at).label("newest")
    whole = select(_email.reason, func.count().label("mails"), literal(0).label("partly"), *times)
    whole = whole.where(_email.state.in_(REPLAYABLE), routed_to(tenant)).group_by(_email.reason)
    mails = func.count(_email.id.distinct())
    partly = select(_item.withdrawn_reason.label("reason"), mails.label("mails"), mails.label("partly"), *times)
    joined = table(InboxItemRow).join(table(InboundEmailRow), _email.id == _item.email_id)
    partly = partly.select_from(joined).where(held_part(tenant), _email.state == State.FILED)
    rows = [*connection.execute(whole), *connection.execute(partly.group_by(_item.withdrawn_reason))]
    together: dict[str | None, list[Row[Any]]] = {}
    for row in rows:
        # Rows of up to 0.1.0 have the old word of a reason, and are counted with those of the new one.
        known = InboundReason.read(row.reason) if row.reason else None
        together.setdefault(known.value if known else row.reason, []).append(row)
    groups = [
        ReasonGroup(
            reason,
            sum(row.mails for row in of),
            sum(row.partly for row in of),
            min(row.oldest for row in of),
            max(row.newest for row in of),
        )
        for reason, of in together.items()
    ]
    return sorted(groups, key=lambda one: (-one.mails, one.reason or ""))


def unrouted_recipients(connection: Connection, limit: int) -> list[UnroutedRecipient]:
    """Return the recipients of e-mails quarantined as `no_route`, those with most mails first."""
    listed = recipients().table_valued("value").render_derived().lateral()
    one = listed.c.value
    address = func.lower(cast(one, Text)).label("address")
    mails = func.count(_email.id.distinct()).label("mails")
    wanted = select(address, mails, func.min(_email.received_at).label("oldest"))
    waits = _email.state == State.QUARANTINED, has_reason(_email.reason, Reason.NO_ROUTE)
    wanted = wanted.select_from(table(InboundEmailRow).join(listed, literal(True))).where(*waits).group_by(address)
    rows = connection.execute(wanted.order_by(mails.desc(), address).limit(limit))
    return [UnroutedRecipient(**row._mapping) for row in rows]


def candidates_of(connection: Connection, chosen: Any) -> list[Candidate]:
    """Return the e-mails of a selection, with their items and processors."""
    columns = _email.id, _email.key, _email.state, _email.envelope, _email.released
    ordered = select(*columns).where(_email.id == chosen.c.id).order_by(chosen.c.received_at, chosen.c.id)
    rows = connection.execute(ordered).all()
    ids = [row.id for row in rows]
    items: dict[UUID, set[tuple[str, str]]] = {one: set() for one in ids}
    shown = _item.email_id.in_(ids), _item.withdrawn_at.is_(None)
    for item in connection.execute(select(_item.email_id, _item.tenant, _item.recipient).where(*shown)):
        items[item.email_id].add((item.tenant, item.recipient))
    ended: dict[UUID, dict[str, str]] = {one: {} for one in ids}
    for done in connection.execute(select(_done.email_id, _done.processor, _done.state).where(_done.email_id.in_(ids))):
        ended[done.email_id][done.processor] = done.state
    return [
        Candidate(
            id=str(row.id),
            key=row.key,
            state=State(row.state),
            envelope=_envelope(row.envelope),
            released=tuple(row.released or ()),
            items=frozenset(items[row.id]),
            done=frozenset(name for name, state in ended[row.id].items() if state == "done"),
            failed=frozenset(name for name, state in ended[row.id].items() if state == "failed"),
        )
        for row in rows
    ]


def _envelope(stored: dict[str, Any] | None) -> Envelope | None:
    try:
        return envelope_of(stored) if stored else None
    except PermanentError:
        return None
