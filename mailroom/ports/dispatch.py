"""From the outbox to a provider, each message once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mailroom.domain.errors import MailroomError
from mailroom.domain.outbound.message import Batch, Content, Draft, Lane, ResendPolicy
from mailroom.ports.provider import ProviderReceipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What a batch comes to before it is dispatched.

    `due` may go now as far as the quota has room, `later` wait for their time, the first of them for `next_at`.
    """

    lane: Lane
    policy: ResendPolicy
    due: int
    later: int
    suppressed: int
    expired: int
    next_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A message that is now `sending`: nobody else will hand it over. Rendered by `mailroom.outbound.rendering.outgoing`."""

    batch: Batch
    draft: Draft
    content: Content
    attempt: int
    handed_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of handing over one message in one attempt.

    `retry_at` is when an error that left nothing behind is tried again; None is at once.
    """

    message_id: str
    attempt: int
    result: ProviderReceipt | MailroomError
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownMessage:
    """A message whose outcome is unknown, and since when."""

    message_id: str
    batch_id: str
    attempt: int
    provider: str
    handed_at: datetime
    policy: ResendPolicy


class Dispatch(Protocol):
    """From the outbox to a provider, each message once."""

    def batch(self, batch_id: str) -> Batch | None:
        """Return what was asked for, with the time to send as it stands now."""

    def plan(self, batch_id: str, *, now: datetime) -> Planned:
        """Withhold what is expired or suppressed, and count what is left.

        Raises:
            LookupError: there is no such batch.
        """

    def work_on(self, batch_id: str, *, now: datetime) -> None:
        """Note that somebody is at work on the batch, also where the rate gives it nothing to do."""

    def claim(
        self, batch_id: str, *, most: int, provider: str, now: datetime, run_id: str | None = None
    ) -> list[Claimed]:
        """Take due messages in hand: they are `sending`, committed, and counted in the quota. An empty list: none is due.

        What was suppressed or expired since the plan is withheld here too. What the quota has no room for is deferred
        to when it has, with an order of its own. The activity of each names the run.
        """

    def settle(self, outcomes: Sequence[Outcome], *, now: datetime) -> None:
        """Note what came of handing over: what events said first stays, and an attempt that is not the latest changes nothing."""

    def defer(self, batch_id: str, *, until: datetime, reason: str, now: datetime) -> int:
        """Have what is due wait for `until`, with an order for then, and return how many messages that is."""

    def strand(self, *, before: datetime, now: datetime) -> int:
        """Make `unknown` what has been `sending` since before `before`: its worker is gone. Return how many."""

    def unknown(
        self,
        *,
        before: datetime,
        limit: int,
        after: datetime | None = None,
        providers: Collection[str] | None = None,
        policy: ResendPolicy | None = None,
    ) -> list[UnknownMessage]:
        """Return messages handed over between the two, to these providers, whose outcome is unknown, oldest first; with `policy`
        those of its batches that `resend` lets go. What was stepped over a short while ago is left out.
        """

    def step_over(self, message_id: str, error: Exception) -> None:
        """Note that nothing could be done about this unknown outcome, and leave it alone for a while."""

    def resend(self, message_ids: Sequence[str], *, now: datetime) -> int:
        """Let these go again, if they are still `unknown`, and return how many; they may arrive twice."""

    def read_file(self, tenant: str, sha256: str) -> bytes:
        """Return the bytes of an attachment that came with its batch.

        Raises:
            LookupError: it is not kept here.
        """
