"""What the routes for providers' calls work with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mailroom.delivery.provider_events import sns
from mailroom.delivery.provider_events.calls import CallVerifier
from mailroom.ports.hooks import Hooks


class Topics(Protocol):
    """Topics that ask whether they may post here."""

    def confirm(self, topic_arn: str, token: str) -> None:
        """Let the topic post here."""


@dataclass(frozen=True, slots=True)
class HookReceiver:
    """What the routes believe, and where they keep it.

    `verifiers` has what checks the calls of each provider that posts to /hooks/NAME. `ses_tenants` says whose own topic one
    is, where it is one's.
    """

    hooks: Hooks
    topics: Topics
    ses: sns.Verifier
    verifiers: Mapping[str, CallVerifier]
    ses_tenants: dict[str, str | None] = field(default_factory=dict)
