"""Outbound mail as values: what was asked for, what it has come to, and what a provider is handed.

    accepted ── relay ──> queued ── claim ──> sending ── the provider's answer ──> dispatched ── events ──> delivered ...
        scheduled (its time is later)             └── the answer was lost ──> unknown ── an event, or asking
        deferred  (over quota, or asked to slow down; goes on by itself, its time says when)
        held      (a restored database, a run that is gone; a person resumes or cancels it, see `mailroom.ports.holds`)

One message has one recipient: providers tell of opens and clicks without saying whose they were. A message is handed
over only while `handed_at` is not set, whatever its status says; it is set in a commit before the call.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class SendingStage(StrEnum):
    """What a status means: the word that every place reads which treats statuses differently (pages, webhooks, commands)."""

    #: Nothing has left our side, and something still may.
    WAITING = "waiting"
    #: Waits here, or at the provider; `handed_at` says which.
    DEFERRED = "deferred"
    #: A person decides.
    HELD = "held"
    SENDING = "sending"
    UNKNOWN = "unknown"
    #: The provider has it, and has not said what became of it.
    SENT = "sent"
    ARRIVED = "arrived"
    #: The provider had it, and it came back or was complained about.
    RETURNED = "returned"
    #: The provider refused it, or it cannot be sent.
    REFUSED = "refused"
    #: Nothing left our side, and nothing will.
    WITHHELD = "withheld"


class Status(StrEnum):
    """What a message has come to. Stable words: the API, filters and metrics use them."""

    # Each is one row: its word and its stage. One without a stage is a ValueError when this module is imported.
    _value_: str
    stage: SendingStage

    def __new__(cls, word: str, *stage: SendingStage) -> "Status":
        """Return the status of this word, which has one stage; looking up a word, `Status(word)`, does not come here."""
        status = str.__new__(cls, word)
        status._value_, (status.stage,) = word, stage
        return status

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
    #: Ours while it was not handed over (over quota, slow down), the provider's afterwards (it keeps trying).
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
        """Whether nothing has left our side yet and something still may: it can be cancelled and rescheduled."""
        return self.stage in (SendingStage.WAITING, SendingStage.DEFERRED)

    @property
    def is_withheld(self) -> bool:
        """Whether nothing left our side, and nothing will."""
        return self.stage is SendingStage.WITHHELD

    @property
    def is_final(self) -> bool:
        """Whether nothing more is done for it here: it has gone, or will not; what became of it, events may still say."""
        return not self.is_waiting and self.stage not in (SendingStage.HELD, SendingStage.SENDING, SendingStage.UNKNOWN)


#: Nothing has left our side yet, and something still may: these can be cancelled and rescheduled.
WAITING = frozenset(status for status in Status if status.is_waiting)

#: A provider was called, and its answer has not come or was lost: it may have the mail.
UNANSWERED = frozenset(status for status in Status if status.stage in (SendingStage.SENDING, SendingStage.UNKNOWN))

#: Something still happens here by itself.
UNDER_WAY = frozenset(status for status in Status if status.is_waiting or status.stage is SendingStage.SENDING)

#: Something still happens here, by itself or once a person decides.
OPEN = frozenset(status for status in Status if not status.is_final)

#: What a breaker counts.
TROUBLE = frozenset(status for status in Status if status.stage is SendingStage.RETURNED)

#: Nothing left our side, and nothing will.
WITHHELD = frozenset(status for status in Status if status.is_withheld)


class ResendPolicy(StrEnum):
    """What happens to a message whose outcome stays unknown when neither events nor asking settled it."""

    PREFER_NO_DUPLICATE = "prefer_no_duplicate"
    PREFER_DELIVERY = "prefer_delivery"


class Lane(StrEnum):
    """Whose turn it is: transactional mail overtakes bulk."""

    TRANSACTIONAL = "transactional"
    BULK = "bulk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """What a batch wants told of its mails' readers; nothing by default."""

    opens: bool = False
    clicks: bool = False

    def __bool__(self) -> bool:
        return self.opens or self.clicks


#: Nobody is looked after.
UNTRACKED = Tracked()


@dataclass(frozen=True, slots=True)
class Party:
    """A mailbox as RFC 5322 has it: an address, the domain as A-label, and the name shown with it."""

    address: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAttachment:
    """An attachment as it is kept: described here, its bytes once for a tenant by their digest.

    With `archive_id` the bytes are that deposit's in the archive; without, they are in the outbox's own store. A
    `content_id` makes it an inline part that the HTML names with `cid:`.
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
    """One mail to one recipient, rendered and validated: all that a provider is handed.

    Header texts hold no line break and no control character. `id` is ours (a UUID): it goes out as X-Correlation-ID and
    as the provider's tag, so that an event finds its message when the answer to the call was lost. `metadata` is the caller's,
    kept by us and never sent. `unsubscribe` is the https URL of one-click unsubscribe (RFC 8058). `tracking` is what the
    provider shall track; where we do it ourselves, the HTML has it already.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a message says, kept once for all messages of a batch that say the same.

    With `template` the three texts are Jinja templates, filled with each recipient's data when it is sent.
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
    """A message of a batch before it is rendered: who gets which content, filled with what.

    `number` is its place in the request, from 0; `content` the place of its content in the batch. Two messages of one
    batch to the same recipient need different references, else the second is a duplicate. `size` is an estimate of the
    bytes on the wire.
    """

    id: str
    number: int
    to: Party
    content: int
    reference: str = ""
    data: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one request asked for. `send_at` None is now; nothing is sent after `expires_at`."""

    id: str
    tenant: str
    from_: Party
    lane: Lane = Lane.TRANSACTIONAL
    policy: ResendPolicy = ResendPolicy.PREFER_NO_DUPLICATE
    send_at: datetime | None = None
    expires_at: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    tracking: Tracked = UNTRACKED


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may hold. Sizes are bytes; a mail's size is that of its parts in base64.

    `preparation_s` is processor time: of one request with templates, until all of its mails have been filled.
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
