"""What can be left through a message's link, and tenants' choices about it, in SQL."""

from datetime import UTC, datetime

from sqlalchemy import Engine, select, update
from sqlalchemy.dialects.postgresql import insert

from mailroom.adapters.postgres.delivery.scopes import STREAM, policy_of, policy_values, stored_policy
from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import TenantRow, table
from mailroom.adapters.postgres.outbound.models import BatchRow, MessageRow
from mailroom.adapters.postgres.outbound.rows import owned, party_of
from mailroom.domain.delivery.streams import UnsubscribePolicy
from mailroom.ports.unsubscribing import UnsubscribeOffer

_tenants, _batches, _messages = table(TenantRow), table(BatchRow), table(MessageRow)


class SqlUnsubscribing:
    """The port `Unsubscribing` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def offer(self, message_id: str) -> UnsubscribeOffer | None:
        """Return what the link of a message offers."""
        wanted = (
            select(_batches, STREAM.label("stream_name"), _tenants.c.unsubscribe)
            .join_from(_messages, _batches, _batches.c.id == _messages.c.batch_id)
            .join(_tenants, _tenants.c.id == _batches.c.tenant)
            .where(owned(_messages, None, message_id))
        )
        with transaction(self._engine) as connection:
            row = connection.execute(wanted).first()
        if row is None:
            return None
        return UnsubscribeOffer(
            tenant=row.tenant,
            from_=party_of(row._mapping["from"]),
            stream=row.stream_name,
            policy=policy_of(row.unsubscribe),
        )

    def policy(self, tenant: str) -> UnsubscribePolicy:
        """Return a tenant's policy."""
        with transaction(self._engine) as connection:
            return stored_policy(connection, tenant)

    def set_policy(self, tenant: str, policy: UnsubscribePolicy) -> None:
        """Store a tenant's policy; one that is not known yet is made with it."""
        new = insert(_tenants).values(id=tenant, policy={}, created_at=datetime.now(UTC)).on_conflict_do_nothing()
        with transaction(self._engine) as connection:
            connection.execute(new)
            changed = update(_tenants).where(_tenants.c.id == tenant)
            connection.execute(changed.values(unsubscribe=policy_values(policy)))
