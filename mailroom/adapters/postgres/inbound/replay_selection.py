"""Which e-mails a replay selects, as SQL: those that were not filed, and filed ones that are held for some tenants."""

from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, case, cast, exists, false, func, or_, select, true, union_all

from mailroom.adapters.postgres.inbound.reasons import has_reason
from mailroom.adapters.postgres.inbound.receiving_models import SenderMailRow
from mailroom.adapters.postgres.inbox.visible_to import of_inboxes, owned, routed_to
from mailroom.adapters.postgres.models import InboundEmailRow, InboxItemRow, table
from mailroom.adapters.postgres.paging import uuid_of
from mailroom.domain.errors import Reason
from mailroom.domain.inbound.filing_policy import RELEASABLE
from mailroom.domain.inbound.received_email import REPLAYABLE, State
from mailroom.domain.inbound.replaying import ReplayAction
from mailroom.ports.replays import ReplayOrder

_email, _item, _mail = table(InboundEmailRow).c, table(InboxItemRow).c, table(SenderMailRow).c

_HOLDS = sorted(RELEASABLE)


def held_part(tenant: str | None) -> ColumnElement[bool]:
    """Return the condition that an item is withdrawn because a policy or a limit holds it; of this tenant's."""
    held = _item.withdrawn_reason.in_(_HOLDS) & _item.withdrawn_at.is_not(None)
    return held & owned(_item.tenant, tenant)


def too_many(tenant: str | None) -> ColumnElement[bool]:
    """Return the condition that a sender's mail is held by the limit, for this tenant."""
    return _mail.held & owned(_mail.tenant, tenant)


def selected(tenant: str | None, order: ReplayOrder) -> Any:
    """Return the query for id, received_at, attempts, state and run of the e-mails of an order, the oldest first."""
    if order.ids:
        ids = [uuid for one in order.ids if (uuid := uuid_of(one)) is not None]
        rows = _rows(tenant, order).where(_email.id.in_(ids)).subquery()
    elif order.states:
        rows = _rows(tenant, order).where(_not_filed(order)).subquery()
    else:
        reason = has_reason(_item.withdrawn_reason, order.reason)
        held: ColumnElement[bool] = _email.id.in_(select(_item.email_id).where(held_part(tenant), reason))
        if order.reason in (None, Reason.TOO_MANY):
            held = or_(held, _email.id.in_(select(_mail.email_id).where(too_many(tenant))))
        partly = _rows(tenant, order).where(_email.state == State.FILED, held)
        rows = union_all(_rows(tenant, order).where(_not_filed(order)), partly).subquery()
    return select(rows).order_by(rows.c.received_at, rows.c.id).limit(order.most)


def _rows(tenant: str | None, order: ReplayOrder) -> Select[Any]:
    within: ColumnElement[bool] = true()
    if order.since is not None:
        within = and_(within, _email.received_at >= order.since)
    if order.until is not None:
        within = and_(within, _email.received_at < order.until)
    if order.recipient is not None:
        within = and_(within, _is_for(order.recipient))
    columns = _email.id, _email.received_at, _email.attempts, _email.state, _email.reason, _email.run_id
    return select(*columns).where(routed_to(tenant), within)


def _not_filed(order: ReplayOrder) -> ColumnElement[bool]:
    states = order.states or REPLAYABLE
    if order.action is ReplayAction.RELEASE:
        held = or_(false(), *(has_reason(_email.reason, word) for word in _HOLDS))
        return and_(_email.state.in_([State.QUARANTINED]), held, has_reason(_email.reason, order.reason))
    return and_(_email.state.in_(list(states)), has_reason(_email.reason, order.reason))


def _is_for(recipient: str) -> ColumnElement[bool]:
    """Return the condition that the envelope has this recipient; a stored address is compared without its case."""
    one = recipients().column_valued("one")
    return exists(select(one).where(of_inboxes(func.lower(cast(one, Text)), [recipient])))


def recipients() -> Any:
    """Return the set-returning function of the envelope's recipients; none where it is missing or unreadable."""
    listed = _email.envelope["recipients"]
    is_list = func.jsonb_typeof(listed) == "array"
    return func.jsonb_array_elements_text(case((is_list, listed), else_=func.jsonb_build_array()))
