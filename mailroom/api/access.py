"""Who may see what: a key's tenant decides, and a key without a tenant (None) is an administrator's, who sees everything.

The queries of every reader take that tenant first, and SQL enforces it: for inboxes in
`adapters/postgres/inbox/visible_to.py`; for batches and messages the readers in `adapters/postgres/outbound/`; for endpoints,
suppressions and breakers those in `adapters/postgres/delivery/`. What belongs to another tenant is answered as what does not
exist: 404. Whose key it is: `mailroom.api.auth`.
"""

from fastapi import HTTPException

from mailroom.ports.api_keys import Holder


def tenant_for(holder: Holder, requested: str | None) -> str | None:
    """Return the tenant to read for: an administrator may choose one, a tenant's key has only its own.

    Raises:
        HTTPException: 404 for another tenant, as for anything that does not exist.
    """
    if holder.tenant is None:
        return requested
    if requested not in (None, holder.tenant):
        raise HTTPException(404, "Tenant not found.")
    return holder.tenant
