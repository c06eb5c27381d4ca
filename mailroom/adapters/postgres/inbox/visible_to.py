"""Who may see an inbox, an item and a received e-mail, as SQL conditions; `mailroom.api.access` states the rule.

`tenant` None is an administrator, who sees everything.
"""

from collections.abc import Collection

from sqlalchemy import ColumnElement, false, or_, select, true

from mailroom.adapters.postgres.models import InboundEmailRow, InboxItemRow, TenantRow
from mailroom.domain.inbound.routing import is_starred

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


def of_inboxes(address: ColumnElement[str], patterns: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that an address is one of these, or matches a pattern or `@domain` among them."""
    exact = [pattern for pattern in patterns if not pattern.startswith("@")]
    alike = [pattern for pattern in patterns if pattern.startswith("@") or is_starred(pattern)]
    return or_(false(), address.in_(exact), *(address.like(_like(pattern), escape="/") for pattern in alike))


def _like(pattern: str) -> str:
    # The whole domain is every address in it, also where its subdomains are meant.
    pattern = f"*{pattern}" if pattern.startswith("@") else pattern
    for letter in "/%_":
        pattern = pattern.replace(letter, f"/{letter}")
    return pattern.replace("*", "%")


def routed_to(tenant: str | None) -> ColumnElement[bool]:
    """Return the condition that a received e-mail was routed to the tenant, perhaps among others."""
    return true() if tenant is None else _email.tenants.contains([tenant])
