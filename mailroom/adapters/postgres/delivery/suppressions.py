"""Suppressed addresses, in SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    ColumnElement,
    Engine,
    Text,
    and_,
    any_,
    case,
    delete,
    false,
    func,
    literal,
    or_,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.delivery.models import SuppressionRow
from mailroom.adapters.postgres.delivery.scopes import covers
from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import table
from mailroom.domain.delivery.streams import Scope
from mailroom.ports.suppressions import Suppression

_rows = table(SuppressionRow)
_row = _rows.c


class SqlSuppressions:
    """The port `Suppressions` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def among(
        self,
        tenant: str,
        addresses: Sequence[str],
        *,
        now: datetime,
        with_global: bool = False,
        stream: str | None = None,
    ) -> set[str]:
        """Return which of these normalised addresses are suppressed for this tenant."""
        still = or_(_row.expires_at.is_(None), _row.expires_at > now)
        wanted = select(_row.address).where(
            _visible(tenant, with_global), still, _row.address == any_(literal(list(addresses), ARRAY(Text)))
        )
        if stream is not None:
            wanted = wanted.where(covers(tenant, stream))
        with transaction(self._engine) as connection:
            return set(connection.execute(wanted).scalars())

    def add(self, suppressions: Sequence[Suppression]) -> int:
        """Store suppressions and return how many are new; an existing one stays, with the later end."""
        if not suppressions:
            return 0
        once = {one.place: one for one in suppressions}
        # In the same order as `suppressing`, so that two transactions that add the same do not deadlock.
        ordered = sorted(once.values(), key=lambda one: (one.tenant or "", one.place))
        new = insert(_rows).values([_values(one) for one in ordered])
        for_good = or_(_row.expires_at.is_(None), new.excluded.expires_at.is_(None))
        later = case((for_good, None), else_=func.greatest(_row.expires_at, new.excluded.expires_at))
        kept = new.on_conflict_do_update(constraint="ux_suppression_address", set_={"expires_at": later})
        # xmax distinguishes an inserted row from an updated one.
        with transaction(self._engine) as connection:
            return sum(connection.execute(kept.returning(text("xmax = 0"))).scalars())

    def remove(
        self, tenant: str | None, address: str, *, scope: Scope | None = None, stream: str | None = None
    ) -> bool:
        """Delete suppressions, so that the address gets mail again; False when there is none."""
        there = delete(_rows).where(_row.address == address, _row.tenant.is_not_distinct_from(tenant))
        there = there.where(_in(scope, stream))
        with transaction(self._engine) as connection:
            return connection.execute(there).rowcount > 0

    def all(
        self,
        tenant: str | None,
        *,
        address: str | None,
        after: tuple[str, ...] | None,
        limit: int,
        with_global: bool = False,
        scope: Scope | None = None,
        stream: str | None = None,
    ) -> list[Suppression]:
        """Return suppressions, ordered by address, tenant and scope."""
        position = _row.address, func.coalesce(_row.tenant, ""), _row.scope
        wanted = select(_rows).where(true() if tenant is None else _visible(tenant, with_global), _in(scope, stream))
        if address is not None:
            wanted = wanted.where(_row.address == address)
        if after is not None:
            wanted = wanted.where(tuple_(*position[: len(after)]) > after)
        with transaction(self._engine) as connection:
            return [_suppression(row) for row in connection.execute(wanted.order_by(*position).limit(limit))]


def _visible(tenant: str, with_global: bool) -> ColumnElement[bool]:
    own: ColumnElement[bool] = _row.tenant == tenant
    return or_(own, _row.tenant.is_(None)) if with_global else own


def _in(scope: Scope | None, stream: str | None) -> ColumnElement[bool]:
    """Return the condition for entries of a scope, or of a stream; of any without both."""
    if stream is not None:
        return and_(_row.stream == stream, true() if scope in (None, Scope.STREAM) else false())
    if scope is Scope.STREAM:
        return _row.stream != ""
    return true() if scope is None else _row.scope == scope


def _values(one: Suppression) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "tenant": one.tenant,
        "address": one.address,
        "reason": one.reason,
        "stream": one.stream or "",
        "message_id": UUID(one.message_id) if one.message_id else None,
        "since": one.since,
        "expires_at": one.expires_at,
    }


def _suppression(row: Row[Any]) -> Suppression:
    return Suppression(
        address=row.address,
        reason=row.reason,
        tenant=row.tenant,
        since=row.since,
        expires_at=row.expires_at,
        message_id=str(row.message_id) if row.message_id else None,
        stream=row.stream or None,
    )
