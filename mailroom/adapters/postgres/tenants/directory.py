"""Receiving addresses and tenants, in SQL. Addresses come with their tenant's policy: routing a mail is one query."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Engine,
    Text,
    and_,
    any_,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert

from mailroom.adapters.postgres.engine import statement, transaction
from mailroom.adapters.postgres.models import AddressRow, TenantRow, table
from mailroom.domain.inbound.filing_policy import DEFAULT_POLICY, Action, FilingPolicy
from mailroom.domain.inbound.routing import Address
from mailroom.ports.tenants import Webhook

_addresses, _tenants = table(AddressRow), table(TenantRow)
_address, _tenant = _addresses.c, _tenants.c


class SqlDirectory:
    """The port `Directory` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def lookup(self, patterns: Iterable[str]) -> dict[str, list[Address]]:
        """Return the addresses with these patterns by pattern, and those with stars at the domains (`@domain`) among them."""
        all_patterns = list(patterns)
        domains = [pattern[1:] for pattern in all_patterns if pattern.startswith("@")]
        named = _address.pattern == any_(literal(all_patterns, ARRAY(Text)))
        wanted = _listed().where(or_(named, starred_at(domains))).order_by(_address.tenant)
        addresses: dict[str, list[Address]] = {}
        with statement(self._engine) as connection:
            for row in connection.execute(wanted):
                addresses.setdefault(row.pattern, []).append(_address_of(row))
        return addresses

    def add(self, address: Address) -> bool:
        """Add an address, and its tenant when that is new; False when the tenant has the address already."""
        row = insert(_addresses).values(
            id=uuid4(),
            pattern=address.pattern,
            tenant=address.tenant,
            user_name=address.user,
            processor=address.processor,
            created_at=datetime.now(UTC),
        )
        with transaction(self._engine) as connection:
            connection.execute(_new_tenant(address.tenant))
            made = connection.execute(row.on_conflict_do_nothing().returning(_address.id))
            return made.first() is not None

    def set_processor(self, pattern: str, tenant: str, processor: str) -> bool:
        """Set the processor of this address's mail; False when the tenant has no such address."""
        mine = (_address.pattern == pattern) & (_address.tenant == tenant)
        changed = update(_addresses).where(mine).values(processor=processor).returning(_address.id)
        with transaction(self._engine) as connection:
            return connection.execute(changed).first() is not None

    def all(self) -> list[Address]:
        """Return every address."""
        with transaction(self._engine) as connection:
            rows = connection.execute(_listed().order_by(_address.tenant, _address.pattern))
            return [_address_of(row) for row in rows]


class SqlTenants:
    """The port `Tenants` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def policy(self, tenant: str) -> FilingPolicy:
        """Return the tenant's policy."""
        row = self._row(tenant)
        return _policy_of(row.policy) if row else DEFAULT_POLICY

    def set_policy(self, tenant: str, policy: FilingPolicy) -> None:
        """Set the policy for mail that comes from now on."""
        default = asdict(DEFAULT_POLICY)
        self._set(tenant, policy={name: word for name, word in asdict(policy).items() if word != default[name]})

    def webhook(self, tenant: str) -> Webhook | None:
        """Return the tenant's webhook for received mail, or None."""
        row = self._row(tenant)
        return Webhook(row.webhook_url, row.webhook_secret) if row and row.webhook_url else None

    def set_webhook(self, tenant: str, webhook: Webhook | None) -> None:
        """Set the tenant's webhook for received mail; None removes it."""
        self._set(
            tenant, webhook_url=webhook.url if webhook else None, webhook_secret=webhook.secret if webhook else None
        )

    def _row(self, tenant: str) -> Any:
        with transaction(self._engine) as connection:
            return connection.execute(select(_tenants).where(_tenant.id == tenant)).first()

    def _set(self, tenant: str, **values: Any) -> None:
        with transaction(self._engine) as connection:
            connection.execute(_new_tenant(tenant))
            connection.execute(update(_tenants).where(_tenant.id == tenant).values(**values))


def starred_at(domains: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition that a pattern has stars and one of these domains; `ix_address_starred` serves it."""
    # One array, because a mail for many recipients names more domains than a statement may have parameters.
    at = func.split_part(_address.pattern, "@", literal_column("-1"))
    return and_(text("strpos(address.pattern, '*') > 0"), at == any_(literal(list(domains), ARRAY(Text))))


def _listed() -> Any:
    return select(_addresses, _tenant.policy).join(_tenants, _tenant.id == _address.tenant)


def _address_of(row: Any) -> Address:
    return Address(row.pattern, row.tenant, row.user_name, row.processor, _policy_of(row.policy))


def _policy_of(stored: Any) -> FilingPolicy:
    """Return the stored policy; an unreadable part quarantines mail, where a person sees it and nothing is lost."""
    if not stored:
        return DEFAULT_POLICY
    known = asdict(DEFAULT_POLICY)
    words = stored if isinstance(stored, dict) else dict.fromkeys(known, "")
    return FilingPolicy(**{name: _action(word) for name, word in words.items() if name in known})


def _action(word: Any) -> Action:
    return next((action for action in Action if action == word), Action.QUARANTINE)


def _new_tenant(tenant: str) -> Any:
    return insert(_tenants).values(id=tenant, policy={}, created_at=datetime.now(UTC)).on_conflict_do_nothing()
