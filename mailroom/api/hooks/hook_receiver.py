"""The ports of the routes for providers' calls."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mailroom.delivery.provider_events import sns
from mailroom.delivery.provider_events.calls import CallVerifier
from mailroom.ports.hooks import Hooks


class Topics(Protocol):
    """SNS topics that request confirmation of a subscription."""

    def confirm(self, topic_arn: str, token: str) -> None:
        """Confirm the topic's subscription."""


@dataclass(frozen=True, slots=True)
class HookReceiver:
    """The verifiers of providers' calls, and where verified calls are stored.

    `verifiers` checks the calls of each provider that posts to /hooks/NAME. `ses_tenants` maps a tenant's own topic to the
    tenant.
    """

    hooks: Hooks
    topics: Topics
    ses: sns.Verifier
    verifiers: Mapping[str, CallVerifier]
    ses_tenants: dict[str, str | None] = field(default_factory=dict)
