"""Who receives at which address, in SQL."""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert

from mailroom.adapters.sql.engine import transaction
from mailroom.adapters.sql.models import AddressRow, TenantRow, table
from mailroom.domain.routing import Address

_addresses, _tenants = table(AddressRow), table(TenantRow)


class SqlDirectory:
    """The port `Directory` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def lookup(self, patterns: Iterable[str]) -> dict[str, list[Address]]:
        """Return the addresses that have these patterns."""
        wanted = select(_addresses).where(_addresses.c.pattern.in_(list(patterns)))
        found: dict[str, list[Address]] = {}
        with transaction(self._engine) as connection:
            for row in connection.execute(wanted.order_by(_addresses.c.tenant)):
                found.setdefault(row.pattern, []).append(Address(row.pattern, row.tenant, row.user_name))
        return found

    def add(self, address: Address) -> bool:
        """Add an address and, where it is new, its tenant."""
        now = datetime.now(UTC)
        tenant = insert(_tenants).values(id=address.tenant, created_at=now).on_conflict_do_nothing()
        row = insert(_addresses).values(
            id=uuid4(), pattern=address.pattern, tenant=address.tenant, user_name=address.user, created_at=now
        )
        with transaction(self._engine) as connection:
            connection.execute(tenant)
            made = connection.execute(row.on_conflict_do_nothing().returning(_addresses.c.id))
            return made.first() is not None

    def all(self) -> list[Address]:
        """Return every address."""
        rows = select(_addresses).order_by(_addresses.c.tenant, _addresses.c.pattern)
        with transaction(self._engine) as connection:
            return [Address(row.pattern, row.tenant, row.user_name) for row in connection.execute(rows)]
