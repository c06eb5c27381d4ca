"""Sending again what was rejected, failed, was suppressed or is unknown, when a person asks for it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mailroom.domain.outbound.message import Status
from mailroom.domain.outbound.resending import RESENDABLE, NotResent


@dataclass(frozen=True, slots=True, kw_only=True)
class ResendGroup:
    """Messages that were in one status for one reason, and why these are not sent again; `obstacle` None: they are.

    `reason` is the stored word, in the spelling of today.
    """

    status: Status
    reason: str | None
    messages: int
    obstacle: NotResent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resent:
    """What a resend came to, or would; `due_at` is when the first of them may go."""

    batch_id: str
    due_at: datetime
    groups: tuple[ResendGroup, ...]

    @property
    def messages(self) -> int:
        """How many are sent again."""
        return sum(one.messages for one in self.groups if one.obstacle is None)

    @property
    def may_duplicate(self) -> int:
        """How many of these may arrive twice."""
        return sum(one.messages for one in self.groups if one.obstacle is None and one.status is Status.UNKNOWN)

    @property
    def withheld(self) -> int:
        """How many are not sent again."""
        return sum(one.messages for one in self.groups if one.obstacle is not None)


class Resends(Protocol):
    """Makes new attempts of messages. Of two that ask for the same at once, one makes it."""

    def resend_message(
        self,
        tenant: str | None,
        message_id: str,
        *,
        may_duplicate: bool = False,
        dry_run: bool = False,
        by: str,
        now: datetime,
    ) -> Resent | None:
        """Send one message again, or say why not, in one group; None for a message that this tenant has not.

        Args:
            may_duplicate: Also if its outcome is unknown.
            dry_run: Only say what would come of it.
            by: Who asks, for the message's history.
        """

    def resend_batch(
        self,
        tenant: str | None,
        batch_id: str,
        *,
        statuses: Collection[Status] = RESENDABLE,
        reasons: Collection[str] = (),
        may_duplicate: bool = False,
        dry_run: bool = False,
        by: str,
        now: datetime,
    ) -> Resent | None:
        """Send messages of a batch again: those in `statuses` for one of `reasons`, all without any.

        What the arguments say of other messages is left as it is. None for a batch that this tenant has not.
        """
