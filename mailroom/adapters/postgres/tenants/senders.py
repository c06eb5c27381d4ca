"""The addresses that each tenant may send from, in SQL."""

from datetime import UTC, datetime

from sqlalchemy import Engine, delete, select
from sqlalchemy.dialects.postgresql import insert

from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import TenantRow, table
from mailroom.adapters.postgres.outbound.models import SenderRow

_rows, _tenants = table(SenderRow), table(TenantRow)
_row = _rows.c


class SqlSenders:
    """The port `Senders` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def may(self, tenant: str, address: str) -> bool:
        """Return whether the tenant may send from this normalised address."""
        covering = [address, f"@{address.rpartition('@')[2]}"]
        holders = select(_row.tenant).where(_row.pattern.in_(covering))
        own = select(_row.pattern).where(_row.tenant == tenant).limit(1)
        with transaction(self._engine) as connection:
            tenants = set(connection.execute(holders).scalars())
            return tenant in tenants or (not tenants and connection.execute(own).first() is None)

    def patterns(self, tenant: str) -> list[str]:
        """Return the patterns that the tenant's sender addresses are limited to; an empty list is no limit of its own."""
        wanted = select(_row.pattern).where(_row.tenant == tenant).order_by(_row.pattern)
        with transaction(self._engine) as connection:
            return list(connection.execute(wanted).scalars())

    def allow(self, tenant: str, pattern: str) -> None:
        """Allow the tenant to send from an address, or from all of `@domain`."""
        now = datetime.now(UTC)
        with transaction(self._engine) as connection:
            connection.execute(insert(_tenants).values(id=tenant, created_at=now).on_conflict_do_nothing())
            connection.execute(insert(_rows).values(tenant=tenant, pattern=pattern).on_conflict_do_nothing())

    def forbid(self, tenant: str, pattern: str) -> bool:
        """Remove a pattern; False when there is none."""
        there = delete(_rows).where(_row.tenant == tenant, _row.pattern == pattern)
        with transaction(self._engine) as connection:
            return connection.execute(there).rowcount > 0
