"""Who receives at which address, in SQL."""

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert

from mailroom.adapters.sql.engine import transaction
from mailroom.adapters.sql.models import AddressRow, TenantRow
from mailroom.domain.routing import Address


class SqlDirectory:
    """The port `Directory` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def lookup(self, patterns: Iterable[str]) -> dict[str, list[Address]]:
        """Return the addresses that have these patterns."""
        wanted = select(AddressRow.pattern, AddressRow.tenant, AddressRow.user_name).where(
            AddressRow.pattern.in_(list(patterns))  # type: ignore[attr-defined]
        )
        found: dict[str, list[Address]] = {}
        with transaction(self._engine) as connection:
            for row in connection.execute(wanted.order_by(AddressRow.tenant)):
                found.setdefault(row.pattern, []).append(Address(row.pattern, row.tenant, row.user_name))
        return found

    def add(self, address: Address) -> bool:
        """Add an address and, where it is new, its tenant."""
        now = datetime.now(UTC)
        tenant = insert(TenantRow).values(id=address.tenant, created_at=now).on_conflict_do_nothing()
        row = insert(AddressRow).values(
            pattern=address.pattern, tenant=address.tenant, user_name=address.user, created_at=now
        )
        with transaction(self._engine) as connection:
            connection.execute(tenant)
            made = connection.execute(row.on_conflict_do_nothing().returning(AddressRow.id))  # type: ignore[arg-type]
            return made.first() is not None

    def all(self) -> list[Address]:
        """Return every address."""
        rows = select(AddressRow.pattern, AddressRow.tenant, AddressRow.user_name)
        with transaction(self._engine) as connection:
            found = connection.execute(rows.order_by(AddressRow.tenant, AddressRow.pattern))
            return [Address(row.pattern, row.tenant, row.user_name) for row in found]
