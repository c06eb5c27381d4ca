"""Outbound mail as values: the request, the status of a message, and what is sent to a provider.

    accepted ── relay ──> queued ── claim ──> sending ── the provider's answer ──> dispatched ── events ──> delivered ...
        scheduled (its time is later)             └── the answer was lost ──> unknown ── an event, or asking
        deferred  (over quota, or asked to slow down; continues by itself at its due time)
        held      (a restored database, a run that is gone; a person resumes or cancels it, see `mailroom.ports.holds`)

A message has one recipient: providers report opens and clicks without naming the recipient. A message is sent only while
`handed_at` is not set, whatever its status; it is set in a commit before the call to the provider.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from mailroom.domain.staged_words import StagedWord


class SendingStage(StrEnum):
    """The meaning of a status, for code that treats statuses differently (pages, webhooks, commands)."""

    #: Not sent yet.
    WAITING = "waiting"
    #: Waits here, or at the provider; `handed_at` says which.
    DEFERRED = "deferred"
    #: A person decides.
    HELD = "held"
    SENDING = "sending"
    UNKNOWN = "unknown"
    #: The provider has it; no further event yet.
    SENT = "sent"
    ARRIVED = "arrived"
    #: The provider had it, and it came back or was complained about.
    RETURNED = "returned"
    #: The provider refused it, or it cannot be sent.
    REFUSED = "refused"
    #: Not sent, and never will be.
    WITHHELD = "withheld"


class Status(StagedWord):
    """The status of a message. Stable words: the API, filters and metrics use them."""

    stage: SendingStage

    ACCEPTED = "accepted", SendingStage.WAITING
    QUEUED = "queued", SendingStage.WAITING
    SCHEDULED = "scheduled", SendingStage.WAITING
    SENDING = "sending", SendingStage.SENDING
    DISPATCHED = "dispatched", SendingStage.SENT
    DELIVERED = "delivered", SendingStage.ARRIVED
    BOUNCED = "bounced", SendingStage.RETURNED
    COMPLAINED = "complained", SendingStage.RETURNED
    OPENED = "opened", SendingStage.ARRIVED
    CLICKED = "clicked", SendingStage.ARRIVED
    #: By us before it is sent (over quota, slow down), by the provider afterwards (it keeps trying).
    DEFERRED = "deferred", SendingStage.DEFERRED
    REJECTED = "rejected", SendingStage.REFUSED
    FAILED = "failed", SendingStage.REFUSED
    SUPPRESSED = "suppressed", SendingStage.WITHHELD
    UNKNOWN = "unknown", SendingStage.UNKNOWN
    #: Stopped until a person resumes or cancels it; `reason` says why.
    HELD = "held", SendingStage.HELD
    CANCELLED = "cancelled", SendingStage.WITHHELD
    EXPIRED = "expired", SendingStage.WITHHELD

    @property
    def is_waiting(self) -> bool:
        """Whether it is not sent yet but still may be: it can be cancelled and rescheduled."""
        return self.stage in (SendingStage.WAITING, SendingStage.DEFERRED)

    @property
    def is_withheld(self) -> bool:
        """Whether it was not sent and never will be."""
        return self.stage is SendingStage.WITHHELD

    @property
    def is_final(self) -> bool:
        """Whether nothing more is done for it here: it was sent, or never will be; events may still change the status."""
        return not self.is_waiting and self.stage not in (SendingStage.HELD, SendingStage.SENDING, SendingStage.UNKNOWN)


#: Not sent yet, but still may be: these can be cancelled and rescheduled.
WAITING = frozenset(status for status in Status if status.is_waiting)

#: A provider was called, and its answer is outstanding or lost: it may have the mail.
UNANSWERED = frozenset(status for status in Status if status.stage in (SendingStage.SENDING, SendingStage.UNKNOWN))

#: Proceeds without a person.
UNDER_WAY = frozenset(status for status in Status if status.is_waiting or status.stage is SendingStage.SENDING)

#: Not final: proceeds by itself, or once a person decides.
OPEN = frozenset(status for status in Status if not status.is_final)

#: Statuses that breakers count.
TROUBLE = frozenset(status for status in Status if status.stage is SendingStage.RETURNED)

#: Not sent, and never will be.
WITHHELD = frozenset(status for status in Status if status.is_withheld)


class ResendPolicy(StrEnum):
    """What is done with a message whose outcome stays unknown after events and queries to the provider."""

    PREFER_NO_DUPLICATE = "prefer_no_duplicate"
    PREFER_DELIVERY = "prefer_delivery"


class Lane(StrEnum):
    """The priority of mail: transactional mail overtakes bulk."""

    TRANSACTIONAL = "transactional"
    BULK = "bulk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """The engagement that a batch wants tracked; none by default."""

    opens: bool = False
    clicks: bool = False

    def __bool__(self) -> bool:
        return self.opens or self.clicks


#: No tracking.
UNTRACKED = Tracked()


@dataclass(frozen=True, slots=True)
class Party:
    """A mailbox (RFC 5322): an address with the domain as A-label, and its display name."""

    address: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAttachment:
    """An attachment as stored: its description; the bytes are stored once for a tenant, by their digest.

    With `archive_id` the bytes are that deposit in the archive; without, they are in the outbox's own store. A `content_id`
    makes it an inline part that the HTML references with `cid:`.
    """

    filename: str
    content_type: str
    size: int
    sha256: str
    content_id: str | None = None
    archive_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An attachment with its bytes, as it goes into a mail."""

    filename: str
    content_type: str
    content: bytes
    content_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One mail to one recipient, rendered and validated: the input of a provider.

    Header texts contain no line break and no control character. `id` is ours (a UUID): it is sent as X-Correlation-ID and as
    the provider's tag, so that an event finds its message even if the answer to the call was lost. `metadata` is the caller's,
    stored and never sent. `unsubscribe` is the https URL of one-click unsubscribe (RFC 8058). `tracking` is what the provider
    is to track; if Mailroom tracks instead, the HTML already contains its links and pixel. `return_path` is the envelope's
    sender, to which bounces of this attempt come; None leaves it to the provider.
    """

    id: str
    batch_id: str
    tenant: str
    from_: Party
    to: Party
    subject: str
    text: str | None
    html: str | None
    reply_to: Party | None = None
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[File, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    unsubscribe: str | None = None
    lane: Lane = Lane.TRANSACTIONAL
    tracking: Tracked = UNTRACKED
    return_path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The content of messages, stored once for all messages of a batch that share it.

    With `template` the three texts are Jinja templates, rendered with each recipient's data when the message is sent.
    """

    subject: str
    text: str | None
    html: str | None
    reply_to: Party | None = None
    headers: tuple[tuple[str, str], ...] = ()
    enclosures: tuple[StoredAttachment, ...] = ()
    unsubscribe: str | None = None
    template: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message of a batch before it is rendered: recipient, content and data.

    `number` is its index in the request, from 0; `content` the index of its content in the batch. Two messages of one batch
    to the same recipient need different references, else the second is a duplicate. `size` is an estimate of the bytes on
    the wire. `subject` is the rendered one, where it differs from the content's.
    """

    id: str
    number: int
    to: Party
    content: int
    reference: str = ""
    data: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    size: int = 0
    subject: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The messages of one request. `send_at` None is now; nothing is sent after `expires_at`."""

    id: str
    tenant: str
    from_: Party
    lane: Lane = Lane.TRANSACTIONAL
    policy: ResendPolicy = ResendPolicy.PREFER_NO_DUPLICATE
    send_at: datetime | None = None
    expires_at: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    tracking: Tracked = UNTRACKED
    #: None is the stream of the lane.
    stream: str | None = None

    @property
    def stream_name(self) -> str:
        """The stream that the batch belongs to (`mailroom.domain.delivery.streams`)."""
        return self.stream or self.lane.value


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one request. Sizes are bytes; a mail's size is that of its parts in base64.

    `preparation_s` is the processor time for rendering all mails of a request with templates.
    """

    body: int = 40 << 20
    messages: int = 100_000
    recipients_of_one: int = 50
    mail: int = 25 << 20
    attachments: int = 50
    subject: int = 998
    header: int = 2_000
    headers: int = 50
    metadata: int = 50
    data: int = 16 << 10
    template: int = 512 << 10
    schedule_days: int = 366
    preparation_s: float = 40.0

    def latest_start(self, now: datetime) -> datetime:
        """Return the latest time for which a batch may be scheduled."""
        return now + timedelta(days=self.schedule_days)


LIMITS = Limits()
