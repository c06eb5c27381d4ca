"""Who may see an inbox, an item and a received e-mail, as SQL conditions; `mailroom.api.access` states the rule.

`tenant` None is an administrator, who sees everything.
"""

from sqlalchemy import ColumnElement, select, true

from mailroom.adapters.postgres.models import InboundEmailRow, InboxItemRow, TenantRow

_email = InboundEmailRow.__table__.c  # type: ignore[attr-defined]
_item = InboxItemRow.__table__.c  # type: ignore[attr-defined]
_tenant = TenantRow.__table__.c  # type: ignore[attr-defined]


def owned(column: ColumnElement[str], tenant: str | None) -> ColumnElement[bool]:
    """Return the condition that a row is the tenant's, by its column of tenants."""
    return true() if tenant is None else column == tenant


def item_owned(tenant: str | None) -> ColumnElement[bool]:
    """Return the condition that an item is the tenant's; all tenants are named, so that the query uses the same index."""
    condition: ColumnElement[bool] = _item.tenant.in_(select(_tenant.id)) if tenant is None else _item.tenant == tenant
    return condition


def routed_to(tenant: str | None) -> ColumnElement[bool]:
    """Return the condition that a received e-mail was routed to the tenant, perhaps among others."""
    return true() if tenant is None else _email.tenants.contains([tenant])
