"""Leaving mail: what a message's unsubscribe link covers, and what each tenant has chosen about it.

Every call may raise `TransientError`.
"""

from dataclasses import dataclass
from typing import Protocol

from mailroom.domain.delivery.streams import UnsubscribePolicy
from mailroom.domain.outbound.message import Party


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsubscribeOffer:
    """What the unsubscribe link of one message offers: the sender, the message's stream, its tenant's policy."""

    tenant: str
    from_: Party
    stream: str
    policy: UnsubscribePolicy

    @property
    def sender(self) -> str:
        """The sender as the recipient knows it: the tenant's name for itself, else the name in From, else its domain."""
        return self.policy.name or self.from_.name or self.domain

    @property
    def domain(self) -> str:
        """The domain of the From address."""
        return self.from_.address.rpartition("@")[2]

    @property
    def is_stream_left(self) -> bool:
        """Whether the message's stream can be left by itself: a transactional one cannot."""
        return not self.policy.is_transactional(self.stream)


class Unsubscribing(Protocol):
    """What can be left, and tenants' choices about it."""

    def offer(self, message_id: str) -> UnsubscribeOffer | None:
        """Return what the link of a message offers, or None for a message that is not here."""

    def policy(self, tenant: str) -> UnsubscribePolicy:
        """Return a tenant's policy; the default for one that chose nothing."""

    def set_policy(self, tenant: str, policy: UnsubscribePolicy) -> None:
        """Store a tenant's policy; it applies from now on, also to those who left before."""
