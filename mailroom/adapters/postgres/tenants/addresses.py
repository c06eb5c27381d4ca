"""Receiving addresses as people keep them, in SQL. `directory` has the part that routing needs."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Text, any_, delete, func, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.inbox.visible_to import owned
from mailroom.adapters.postgres.models import AddressRow, InboundEmailRow, InboxItemRow, TenantRow, table
from mailroom.adapters.postgres.tenants.directory import SqlDirectory
from mailroom.domain.inbound.received_email import OPEN, State
from mailroom.domain.inbound.routing import Address, covering, is_starred, prefix_inbox
from mailroom.ports.addresses import KnownAddress, MailOfAddress

_addresses, _tenants = table(AddressRow), table(TenantRow)
_address, _email, _item = _addresses.c, table(InboundEmailRow).c, table(InboxItemRow).c

#: E-mails whose recipients are compared with the addresses, newest first, and inboxes whose items are counted.
_MOST_EMAILS, _MOST_INBOXES = 10_000, 10_000


class SqlAddresses(SqlDirectory):
    """The port `Addresses` on PostgreSQL: the directory, and what people do with it."""

    def page(
        self, tenant: str | None, *, pattern: str | None, after: tuple[str, str] | None, limit: int
    ) -> list[KnownAddress]:
        """Return addresses by pattern and tenant, after that place."""
        wanted = select(_addresses).where(owned(_address.tenant, tenant))
        if pattern is not None:
            wanted = wanted.where(_address.pattern == pattern)
        if after is not None:
            wanted = wanted.where(tuple_(_address.pattern, _address.tenant) > after)
        with transaction(self._engine) as connection:
            rows = connection.execute(wanted.order_by(_address.pattern, _address.tenant).limit(limit))
            return [_known(row) for row in rows]

    def find(self, tenant: str, patterns: Sequence[str]) -> dict[str, KnownAddress]:
        """Return those of these addresses that the tenant has, by pattern."""
        with transaction(self._engine) as connection:
            rows = connection.execute(select(_addresses).where(*_mine(tenant, patterns)))
            return {row.pattern: _known(row) for row in rows}

    def add_all(self, addresses: Sequence[Address]) -> set[tuple[str, str]]:
        """Add addresses, all or none, and return pattern and tenant of those that are new."""
        now = datetime.now(UTC)
        # In one order, so that two imports of the same addresses do not deadlock.
        rows = [
            {
                "id": uuid4(),
                "pattern": one.pattern,
                "tenant": one.tenant,
                "user_name": one.user,
                "processor": one.processor,
                "created_at": now,
            }
            for one in sorted(addresses, key=lambda one: (one.tenant, one.pattern))
        ]
        tenants = [{"id": name, "policy": {}, "created_at": now} for name in sorted({one.tenant for one in addresses})]
        if not rows:
            return set()
        added: set[tuple[str, str]] = set()
        with transaction(self._engine) as connection:
            connection.execute(insert(_tenants).values(tenants).on_conflict_do_nothing())
            for at in range(0, len(rows), 1000):
                new = insert(_addresses).values(rows[at : at + 1000]).on_conflict_do_nothing()
                rows_made = connection.execute(new.returning(_address.pattern, _address.tenant))
                added.update((row.pattern, row.tenant) for row in rows_made)
        return added

    def change(self, tenant: str, pattern: str, *, user: str | None, processor: str | None) -> KnownAddress | None:
        """Set user and processor, each unless None; None: no such address."""
        values = {name: value for name, value in (("user_name", user), ("processor", processor)) if value is not None}
        mine = _mine(tenant, [pattern])
        changed = update(_addresses).where(*mine).values(values).returning(_addresses) if values else None
        with transaction(self._engine) as connection:
            row = connection.execute(select(_addresses).where(*mine) if changed is None else changed).first()
            return _known(row) if row else None

    def remove(self, tenant: str, patterns: Sequence[str]) -> list[str]:
        """Remove addresses, all that are there, and return their patterns."""
        gone = delete(_addresses).where(*_mine(tenant, patterns)).returning(_address.pattern)
        with transaction(self._engine) as connection:
            return sorted(connection.execute(gone).scalars())

    def mail_of(self, tenant: str, patterns: Sequence[str]) -> dict[str, MailOfAddress]:
        """Return the mail of these addresses by pattern; see the port."""
        with transaction(self._engine) as connection:
            items, all_inboxes = _items(connection, tenant, patterns)
            waiting, all_emails = _waiting(connection, patterns)
        return {
            pattern: MailOfAddress(
                items=items[pattern],
                under_way=waiting[pattern, False],
                quarantined=waiting[pattern, True],
                counted_all=all_inboxes and all_emails,
            )
            for pattern in patterns
        }


def _items(connection: Connection, tenant: str, patterns: Sequence[str]) -> tuple[Counter[str], bool]:
    """Return the number of items in the inboxes that each pattern covers, and whether every inbox was looked at."""
    inboxes = select(_item.recipient, func.count().label("items"))
    inboxes = inboxes.where(_item.tenant == tenant, _item.withdrawn_at.is_(None)).group_by(_item.recipient)
    if not any(one.startswith("@") or is_starred(one) or "@" not in one for one in patterns):
        inboxes = inboxes.where(_item.recipient == any_(literal(list(patterns), ARRAY(Text))))
    rows, counted = connection.execute(inboxes.limit(_MOST_INBOXES)).all(), Counter[str]()
    of_prefixes = {prefix_inbox(one): one for one in patterns if "@" not in one}
    for row in rows:
        named = {of_prefixes[row.recipient]} if row.recipient in of_prefixes else covering(patterns, row.recipient)
        counted.update(dict.fromkeys(named, row.items))
    return counted, len(rows) < _MOST_INBOXES


def _waiting(connection: Connection, patterns: Sequence[str]) -> tuple[Counter[tuple[str, bool]], bool]:
    """Return the number of e-mails not filed that each pattern may route, by pattern and whether they are quarantined, and
    whether all were looked at."""
    open_or_kept = [state.value for state in (*OPEN, State.QUARANTINED)]
    wanted = select(_email.state, _email.key, _email.envelope["recipients"].label("recipients"))
    wanted = wanted.where(_email.state.in_(open_or_kept)).order_by(_email.received_at.desc()).limit(_MOST_EMAILS)
    rows, counted = connection.execute(wanted).all(), Counter[tuple[str, bool]]()
    for row in rows:
        found = (covering(patterns, recipient, key=row.key) for recipient in _texts(row.recipients))
        counted.update((one, row.state == State.QUARANTINED) for one in set[str]().union(*found))
    return counted, len(rows) < _MOST_EMAILS


def _texts(stored: Any) -> list[str]:
    return [one for one in stored if isinstance(one, str)] if isinstance(stored, list) else []


def _mine(tenant: str, patterns: Sequence[str]) -> tuple[Any, ...]:
    return _address.tenant == tenant, _address.pattern == any_(literal(list(patterns), ARRAY(Text)))


def _known(row: Row[Any]) -> KnownAddress:
    return KnownAddress(row.pattern, row.tenant, row.user_name, row.processor, row.created_at)
