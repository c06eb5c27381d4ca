"""Withdraws items of an e-mail that is quarantined after it was filed: nothing is deleted, and the journal says so.

From its entries a rebuild knows what was not shown when the database was lost (docs/adr/0058).
"""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, update

from mailroom.adapters.postgres.models import InboxItemRow, table
from mailroom.domain.archive.journal import JournalEntry, Kind

_items = table(InboxItemRow)


def withdraw(
    connection: Connection, email_id: UUID, *, now: datetime, reason: str | None, state: str
) -> tuple[int, list[JournalEntry]]:
    """Withdraw the items that are shown; return how many, and the entries to append, which say what the e-mail is now."""
    shown = (_items.c.email_id == email_id) & _items.c.withdrawn_at.is_(None)
    hide = update(_items).where(shown).values(withdrawn_at=now, withdrawn_reason=reason)
    rows = connection.execute(hide.returning(_items.c.id, _items.c.tenant)).all()
    return len(rows), entries_about(
        Kind.WITHDRAWN, email_id, ((one.tenant, one.id) for one in rows), reason=reason, state=state
    )


def entries_about(
    kind: Kind,
    email_id: UUID,
    items: Iterable[tuple[str, UUID]],
    *,
    reason: str | None = None,
    state: str | None = None,
) -> list[JournalEntry]:
    """Return each tenant's entry about its items, as pairs of tenant and id."""
    of: dict[str, list[str]] = {}
    for tenant, item_id in items:
        of.setdefault(tenant, []).append(str(item_id))
    return [
        JournalEntry(tenant, kind, str(email_id), {"items": sorted(ids), "reason": reason, "state": state})
        for tenant, ids in of.items()
    ]
