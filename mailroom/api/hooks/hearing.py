"""What the routes for providers' calls work with."""

from dataclasses import dataclass, field
from typing import Protocol

from mailroom.delivery.webhooks import postmark, sendgrid, sns
from mailroom.ports.hooks import Hooks


class Topics(Protocol):
    """Topics that ask whether they may post here."""

    def confirm(self, topic_arn: str, token: str) -> None:
        """Let the topic post here."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """What the routes believe, and where they keep it. `ses_tenants` says whose own topic one is, where it is one's."""

    hooks: Hooks
    topics: Topics
    ses: sns.Verifier
    sendgrid: sendgrid.Verifier
    postmark: postmark.Verifier
    ses_tenants: dict[str, str | None] = field(default_factory=dict)
