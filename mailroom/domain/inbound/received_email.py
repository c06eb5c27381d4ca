"""The states of an inbound e-mail, and the values of its processing.

    received ──> processing ──> filed            an inbox item for each recipient, everything archived
                     │    └──> quarantined       kept with its reason; a person decides; can be replayed
                     └──────> failed             a transient fault outlasted its retries; the queue redelivers it

An e-mail that kills its process is `failed` too; from then on it runs isolated, and the third death quarantines it. An
e-mail whose run a person cancelled is `failed` with the reason `cancelled`, and waits for `mailroom replay`.

`duplicate` is an e-mail whose object is the same as one already filed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.inbound.verdicts import Verdicts
from mailroom.domain.mail.carried import HeaderField, Invitation, Report
from mailroom.domain.mail.contained import Contained
from mailroom.domain.staged_words import StagedWord


class ReceivingStage(StrEnum):
    """The meaning of a state, for code that treats states differently (pages, metrics, commands)."""

    UNDER_WAY = "under_way"
    #: The queue redelivers it, or a person replays it.
    FAILED = "failed"
    #: Kept with its reason; a person decides.
    KEPT = "kept"
    #: Nothing is left to do.
    DONE = "done"


class State(StagedWord):
    """The state of an inbound e-mail."""

    stage: ReceivingStage

    RECEIVED = "received", ReceivingStage.UNDER_WAY
    PROCESSING = "processing", ReceivingStage.UNDER_WAY
    FILED = "filed", ReceivingStage.DONE
    QUARANTINED = "quarantined", ReceivingStage.KEPT
    FAILED = "failed", ReceivingStage.FAILED
    DUPLICATE = "duplicate", ReceivingStage.DONE

    @property
    def is_final(self) -> bool:
        """Whether the queue's message may be deleted."""
        return self.stage in (ReceivingStage.KEPT, ReceivingStage.DONE)

    @property
    def is_waiting(self) -> bool:
        """Whether it proceeds without a person: it is under way, or will be redelivered."""
        return not self.is_final

    @property
    def is_replayable(self) -> bool:
        """Whether a person may replay it."""
        return self.stage in (ReceivingStage.KEPT, ReceivingStage.FAILED)


#: Nothing is left to do: the queue's message may be deleted.
FINAL = frozenset(state for state in State if state.is_final)

#: Under way, or to be tried again.
OPEN = frozenset(state for state in State if state.is_waiting)

#: Under way. `failed` is not among them, for it may wait for a person (its run was cancelled).
UNSETTLED = frozenset(state for state in State if state.stage is ReceivingStage.UNDER_WAY)

#: Not filed, with a reason: a person may replay it.
REPLAYABLE = tuple(state for state in State if state.is_replayable)

#: The number of processes killed by one e-mail at which it is quarantined as poison.
MOST_DEATHS = 3

#: The reason of an e-mail whose run a person cancelled.
CANCELLED = InboundReason.CANCELLED

#: The parser's word `Defect.SENDER_AMBIGUOUS`, for code that does not import the parser.
SENDER_AMBIGUOUS = "sender_ambiguous"


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One version of one raw e-mail in the inbound bucket; the identity of an e-mail.

    `version` is "" if the bucket has no versioning or the source did not contain it.
    """

    bucket: str
    key: str
    version: str = ""

    def __post_init__(self) -> None:
        if not (isinstance(self.bucket, str) and isinstance(self.key, str) and isinstance(self.version, str)):
            raise ConfigurationError("bucket, key and version of an object must be text")
        if not self.bucket or not self.key:
            raise ConfigurationError("an object needs a bucket and a key")

    @property
    def prefix(self) -> str:
        """The key up to and including its last slash: what a receipt rule puts before the message id."""
        return self.key[: self.key.rfind("/") + 1]

    @property
    def message_id(self) -> str:
        """SES's message id: the last part of the key."""
        return self.key[self.key.rfind("/") + 1 :]


@dataclass(frozen=True, slots=True)
class Envelope:
    """SES's account of the delivery: the only trustworthy recipients and verdicts."""

    recipients: tuple[str, ...]
    sender: str
    received_at: datetime
    verdicts: Verdicts = field(default_factory=Verdicts)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One notification that an e-mail arrived. `envelope` is None if it is from S3 and not from SES."""

    ref: ObjectRef
    envelope: Envelope | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attachment of an inbox item; its bytes are in the archive."""

    number: int
    filename: str
    content_type: str
    detected_type: str | None
    size: int
    sha256: str
    inline: bool
    content_id: str | None
    archive_id: str
    members: tuple[Contained, ...] = ()
    """What is inside; none either where an older release filed it."""


@dataclass(frozen=True, slots=True)
class Item:
    """An e-mail as one recipient sees it, ready to be filed."""

    tenant: str
    recipient: str
    user: str
    message_id: str | None
    subject: str | None
    from_: str | None
    to: tuple[str, ...]
    cc: tuple[str, ...]
    date: datetime | None
    text: str | None
    html: str | None
    raw_archive_id: str
    attachments: tuple[Attachment, ...]
    defects: tuple[str, ...] = ()
    plus_token: str | None = None
    partial_id: str | None = None
    """Of a part of a split mail: the id that its parts share."""
    partial_number: int | None = None
    partial_total: int | None = None
    held: str | None = None
    """The reason if the tenant's policy holds it back, else None."""
    plus_tokens: tuple[str, ...] | None = None
    """Tokens of all recipients that are this inbox, where `plus_token` is that of the first recipient.

    None here and below: an older release filed it.
    """
    reply_to: tuple[str, ...] | None = None
    in_reply_to: tuple[str, ...] | None = None
    references: tuple[str, ...] | None = None
    automatic_reply: bool | None = None
    protection: tuple[str, ...] | None = None
    reports: tuple[Report, ...] | None = None
    """Without calendars: they are invitations."""
    invitations: tuple[Invitation, ...] | None = None
    header_fields: tuple[HeaderField, ...] | None = None
    not_carried: Mapping[str, int] | None = None
    """The number of entries that a limit left out of the fields above, by the field's name."""
    left_out: Mapping[str, Mapping[str, int]] | None = None
    """How much could not be read, as in `ParsedEmail`; None for an item that an earlier release filed."""
    salt: str | None = field(default=None, compare=False)
    """Hex digits, the salt of the digest that the journal has of it; None: a random one when it is filed."""

    @property
    def sender_ambiguous(self) -> bool:
        """Whether its From names more than one address, so that mail programs disagree about the sender."""
        return SENDER_AMBIGUOUS in self.defects


@dataclass(frozen=True, slots=True)
class Entry:
    """The ledger's line for an e-mail, with the fields that the steps need.

    `attempts` is the number of the attempt that holds the lease: an earlier one may not file or close it any more. `deaths`
    counts the attempts whose process died. `received_at` is the time of receipt, as inboxes show it. `released` are the
    tenants for which a person released it: neither their policy nor the limit of its sender holds it any more.
    """

    id: str
    ref: ObjectRef
    state: State
    envelope: Envelope | None
    attempts: int
    run_id: str | None = None
    reason: str | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    deaths: int = 0
    received_at: datetime | None = None
    released: tuple[str, ...] = ()
