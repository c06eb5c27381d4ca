"""What sending needs from the outside world: providers that take mail, and the outbox that knows what became of each.

Outbox, dispatch and events work on one SQL database. Their promises together are "never twice, never lost":
a batch is kept with its outbox row in one transaction; a message goes to `sending` in a commit before the provider is
called; what the provider answered is settled after. Every call may raise `TransientError`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

from mailroom.domain.errors import MailroomError
from mailroom.domain.outbound.message import Batch, Content, Draft, Lane, Outgoing, Policy, Status
from mailroom.domain.outbound.quotas import Allowance, Period
from mailroom.ports.holds import Holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a provider can do. What it cannot is refused before the call, never dropped in silence.

    `batch` is how many mails one call takes, `max_bytes` the size of one mail on the wire, `asks` whether it can be asked
    later what became of a mail with our id, `headers` whether it takes any custom header, `utf8_addresses` whether a local
    part may be other than ASCII (RFC 6531), `tracks` whether it tells of opens and clicks, mail by mail as it is asked to.
    """

    batch: int = 1
    max_bytes: int = 40 << 20
    attachments: bool = True
    inline: bool = True
    headers: bool = True
    unsubscribe: bool = True
    utf8_addresses: bool = False
    asks: bool = False
    tracks: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """The provider took one mail; `provider_message_id` is what its events call it."""

    provider: str
    provider_message_id: str


@dataclass(frozen=True, slots=True)
class ProviderQuota:
    """What a provider allows this account now; None where it does not say. `paused` is true where it sends nothing."""

    per_second: float | None = None
    per_day: int | None = None
    sent_today: int | None = None
    paused: bool = False


class MailProvider(Protocol):
    """A service that accepts mail for delivery."""

    #: The word in receipts, events and settings: `ses`, `smtp`, `sendgrid`, `postmark`.
    name: str
    #: What its limits belong to, such as `ses/123456789012/eu-west-1`: one rate for each.
    identity: str
    capabilities: Capabilities

    def send(self, mails: Sequence[Outgoing]) -> list[Receipt | MailroomError]:
        """Hand each mail over once and return what was said of each, in their order. Nothing is raised for one mail.

        Per mail:
            Receipt: it is theirs.
            Throttled: over the provider's rate, not handed over; `DailyQuota` where the day's is used up.
            Paused: the account or identity is stopped; not handed over.
            TransientError: not handed over (no connection, refused before the data).
            OutcomeUnknown: the answer was lost; the provider may have the mail.
            Refused: this recipient or content will never be accepted.
        """

    def quota(self) -> ProviderQuota:
        """Return what is allowed now; the answer may be a minute old."""

    def ask(self, message_id: str, *, since: datetime) -> Receipt | None:
        """Return the receipt of the mail with our id that was handed over at `since` or later; None: they never got it.

        Only where `capabilities.asks`.

        Raises:
            OutcomeUnknown: they cannot tell (yet).
        """

    def close(self) -> None:
        """Let go of connections."""


@dataclass(slots=True)
class Turn:
    """Leave to hand one mail over, not before `at` and not after `until`, both of `time.monotonic`.

    Who uses it notes when the call to the provider `began` and `ended`. `place` and `holder` are the rate's own.
    """

    at: float
    until: float
    window_s: float = 0.0
    place: int = 0
    holder: str = ""
    began: float | None = None
    ended: float | None = None

    @property
    def free_at(self) -> float:
        """When its place may be used again."""
        return self.at if self.ended is None else self.ended + self.window_s


class Rate(Protocol):
    """The cluster-wide limit of one provider identity."""

    def wait(self, mails: int, *, lane: Lane = Lane.TRANSACTIONAL) -> list[Turn]:
        """Wait for turns and return them by their times, at most one for each of so many mails.

        None are after some seconds without one: look around, then ask again. Every turn is to be given back.
        """

    def give_back(self, turns: Sequence[Turn]) -> None:
        """Take back turns, used or not. Those that nobody gives back are free again after some seconds."""


@dataclass(frozen=True, slots=True)
class Key:
    """A caller's idempotency key with the digest of what it came with (lower-case hex)."""

    value: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The word for the mailbox queue that a batch has something to send from `due_at` on."""

    id: int
    batch_id: str
    due_at: datetime
    lane: Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What the first request with this key was answered; `repeated` when this one was not the first."""

    batch_id: str
    messages: int
    duplicates: tuple[int, ...] = ()
    repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What a batch comes to before it is dispatched.

    `due` may go now as far as the quota has room, `later` wait for their time, the first of them for `next_at`.
    """

    lane: Lane
    policy: Policy
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
    result: Receipt | MailroomError
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """A message whose outcome is unknown, and since when."""

    message_id: str
    batch_id: str
    attempt: int
    provider: str
    handed_at: datetime
    policy: Policy


@dataclass(frozen=True, slots=True)
class Gone:
    """A message that a cancel came too late for, and what it had come to."""

    message_id: str
    recipient: str
    status: Status


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What a cancel came to: how many will not go, and exactly which have gone or may have.

    `held` is how many of those that will not go were held: after a restore these may have gone before it.
    """

    cancelled: int
    gone: tuple[Gone, ...]
    held: int = 0


class Outbox(Holds, Protocol):
    """What callers hand over. Messages are kept with the word that they are there, for a relay to carry to the queue."""

    def answered(self, tenant: str, key: Key) -> Accepted | None:
        """Return what the first request with this key was answered, or None.

        Raises:
            Conflict: the key came before with another digest.
        """

    def accept(
        self,
        batch: Batch,
        contents: Sequence[Content],
        drafts: Sequence[Draft],
        *,
        files: Mapping[str, bytes] = MappingProxyType({}),
        duplicates: Sequence[int] = (),
        key: Key | None = None,
        now: datetime,
    ) -> Accepted:
        """Keep a batch with its messages, files (by SHA-256), key and outbox row, all or nothing.

        The same key with the same digest returns what was answered first, and keeps nothing.

        Raises:
            Conflict: the key came before with another digest.
        """

    def accept_each(
        self, batch: Batch, contents: Sequence[Content], drafts: Sequence[tuple[Key, Draft]], *, now: datetime
    ) -> int:
        """Keep those drafts whose own key is new as one batch, and return how many; 0 makes no batch."""

    def take(self, *, most: int, now: datetime, until: datetime) -> list[Order]:
        """Return unpublished orders, for nobody else before `until`; one that cannot be used is stepped over for minutes."""

    def published(self, orders: Sequence[Order], *, now: datetime) -> None:
        """Note that these are on the mailbox queue: their messages are `queued`, or `scheduled` until their time."""

    def remind(self, *, before: datetime, limit: int, now: datetime, only: Collection[str] | None = None) -> list[str]:
        """Order batches anew that have been due since before `before` and that nobody has worked on since; return their ids.

        Their order was lost from the queue, or their worker died with a run that no order stands for. What a circuit
        breaker stopped waits for a person. With `only` none but these.
        """

    def cancel(
        self,
        tenant: str | None,
        batch_id: str,
        *,
        now: datetime,
        reason: str = "cancelled",
        facts: Mapping[str, Any] = MappingProxyType({}),
    ) -> Cancelled | None:
        """Withhold everything that has not gone, held or not; None for a batch that this tenant has not."""

    def reschedule(self, tenant: str | None, batch_id: str, send_at: datetime, *, now: datetime) -> int | None:
        """Have what waits go at `send_at` instead and return how many that is; None for a batch that this tenant has not.

        Raises:
            Conflict: the batch is held; a person resumes or cancels it first.
        """


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
        policy: Policy | None = None,
    ) -> list[Unsettled]:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """An address that gets no mail from this tenant; `tenant` None is from nobody here. `address` is normalised."""

    address: str
    reason: str
    tenant: str | None = None
    since: datetime
    expires_at: datetime | None = None
    message_id: str | None = None


class Suppressions(Protocol):
    """The addresses that get no mail."""

    def among(self, tenant: str, addresses: Sequence[str], *, now: datetime) -> set[str]:
        """Return which of these normalised addresses are suppressed for this tenant."""

    def add(self, suppressions: Sequence[Suppression]) -> int:
        """Keep them and return how many are new; one that is there already stays, with the later end."""

    def remove(self, tenant: str | None, address: str) -> bool:
        """Let mail go to the address again; False when it was not there."""

    def all(
        self, tenant: str | None, *, address: str | None, after: tuple[str, str] | None, limit: int
    ) -> list[Suppression]:
        """Return suppressions by address and tenant from behind `after` on; a tenant sees its own and the global ones.

        In that order the global one of an address is first, its tenant an empty text.
        """


class Quotas(Protocol):
    """What each tenant may send, and has sent."""

    def allowance(self, tenant: str) -> Allowance:
        """Return the tenant's limits; none where nothing was set."""

    def allow(self, tenant: str, allowance: Allowance) -> None:
        """Set the tenant's limits."""

    def used(self, tenant: str, *, now: datetime) -> dict[Period, int]:
        """Return what was counted in each of the current periods."""
