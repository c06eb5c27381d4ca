"""Unsubscribe links and tenants' choices about them, in memory."""

from mailroom.domain.delivery.streams import DEFAULT_UNSUBSCRIBE_POLICY, UnsubscribePolicy
from mailroom.domain.outbound.message import Batch
from mailroom.ports.unsubscribing import UnsubscribeOffer


class MemoryUnsubscribing:
    """The port `Unsubscribing` over dicts; `batches` are those of messages, by the message's id."""

    def __init__(self, batches: dict[str, Batch] | None = None) -> None:
        self.batches = batches or {}
        self.policies: dict[str, UnsubscribePolicy] = {}

    def offer(self, message_id: str) -> UnsubscribeOffer | None:
        """Return what the link of a message offers."""
        batch = self.batches.get(message_id)
        if batch is None:
            return None
        policy = self.policy(batch.tenant)
        return UnsubscribeOffer(tenant=batch.tenant, from_=batch.from_, stream=batch.stream_name, policy=policy)

    def policy(self, tenant: str) -> UnsubscribePolicy:
        """Return a tenant's policy."""
        return self.policies.get(tenant, DEFAULT_UNSUBSCRIBE_POLICY)

    def set_policy(self, tenant: str, policy: UnsubscribePolicy) -> None:
        """Store a tenant's policy."""
        self.policies[tenant] = policy
