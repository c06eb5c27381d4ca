"""Dispatch: messages from the outbox to a provider, each sent once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mailroom.domain.errors import MailroomError
from mailroom.domain.outbound.message import Batch, Content, Draft, Lane, ResendPolicy
from mailroom.ports.provider import ProviderReceipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The plan of a batch before it is dispatched, in numbers of messages.

    `due` may be sent now, as far as the quota allows; `later` wait for their time. Of these, `deferred` wait for their
    recipients' servers, the earliest until `deferred_until` (None if the batch expires before), and the others for the
    batch, the earliest until `next_at`.
    """

    lane: Lane
    policy: ResendPolicy
    due: int
    later: int
    suppressed: int
    expired: int
    next_at: datetime | None
    deferred: int = 0
    deferred_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A message that is now `sending`: no other worker will send it. `mailroom.outbound.rendering.outgoing` renders it.

    `refusals` is how many earlier attempts ended with `RecipientUnavailable`, the first of them at `first_refused_at`.
    """

    batch: Batch
    draft: Draft
    content: Content
    attempt: int
    handed_at: datetime
    refusals: int = 0
    first_refused_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one attempt to send one message.

    `retry_at` is when to try again after an error by which nothing was sent; None is at once. `sent_sha256` is the digest of
    the rendered mail (`mailroom.outbound.sent_content`), None where there was none.
    """

    message_id: str
    attempt: int
    result: ProviderReceipt | MailroomError
    retry_at: datetime | None = None
    sent_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownMessage:
    """A message whose outcome is unknown; `handed_at` is when it was sent."""

    message_id: str
    batch_id: str
    attempt: int
    provider: str
    handed_at: datetime
    policy: ResendPolicy


class Dispatch(Protocol):
    """Moves messages from the outbox to a provider, each once."""

    def batch(self, batch_id: str) -> Batch | None:
        """Return the batch as submitted, with its current time to send; None for an unknown one."""

    def plan(self, batch_id: str, *, now: datetime) -> Planned:
        """Withhold expired and suppressed messages, and count the rest.

        Raises:
            LookupError: there is no such batch.
        """

    def work_on(self, batch_id: str, *, now: datetime) -> None:
        """Record that a run works on the batch, even while the rate limit leaves it nothing to send."""

    def claim(
        self,
        batch_id: str,
        *,
        most: int,
        provider: str,
        now: datetime,
        run_id: str | None = None,
        probing: bool = False,
    ) -> list[Claimed]:
        """Lease due messages: they are `sending`, committed, and counted in the quota. An empty list: none is due.

        Messages that were suppressed or have expired since the plan are withheld. Those over the quota are deferred until
        it has room, with an order for that time. The activity of each names the run. For a probe the least tried messages
        come first: a message that is refused each time must not be the only one that is ever tried.
        """

    def settle(self, outcomes: Sequence[Outcome], *, now: datetime) -> None:
        """Store outcomes of attempts. An event that came first wins; an attempt that is not the latest changes nothing."""

    def defer(self, batch_id: str, *, until: datetime, reason: str, now: datetime) -> int:
        """Defer due messages until `until`, with an order for that time, and return how many."""

    def strand(self, *, before: datetime, now: datetime) -> int:
        """Mark messages that have been `sending` since before `before` as `unknown`: their worker is gone. Return how many."""

    def unknown(
        self,
        *,
        before: datetime,
        limit: int,
        after: datetime | None = None,
        providers: Collection[str] | None = None,
        policy: ResendPolicy | None = None,
    ) -> list[UnknownMessage]:
        """Return messages whose outcome is unknown, sent between `after` and `before` to these providers, oldest first.

        With `policy`, those of batches with this policy that `resend` would accept. Recently skipped ones are left out.
        """

    def step_over(self, message_id: str, error: Exception) -> None:
        """Skip this unknown outcome for a while: `error` kept it from being resolved."""

    def resend(self, message_ids: Sequence[str], *, now: datetime) -> int:
        """Queue these again if they are still `unknown`, and return how many; they may arrive twice."""

    def read_file(self, tenant: str, sha256: str) -> bytes:
        """Return the bytes of an attachment that was submitted with its batch.

        Raises:
            LookupError: it is not stored here.
        """
