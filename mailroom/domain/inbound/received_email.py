"""The life of an inbound e-mail, and the values that travel along it.

    received ──> processing ──> filed            an inbox item for each recipient, everything archived
                     │    └──> quarantined       kept with its reason; a person decides; can be replayed
                     └──────> failed             a transient fault outlived its retries; the queue brings it back

A mail that kills the process it runs in is `failed` too; it runs alone from then on, and its third death is quarantine.
One whose run a person cancelled is `failed` with the reason `cancelled`, and waits for `mailroom replay`.

`duplicate` is an e-mail whose object is the same as one already filed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.reasons import InboundReason


class ReceivingStage(StrEnum):
    """What a state means: the word that every place reads which treats states differently (pages, metrics, commands)."""

    UNDER_WAY = "under_way"
    #: The queue brings it back, or a person does.
    FAILED = "failed"
    #: Kept with its reason; a person decides.
    KEPT = "kept"
    #: Nothing is left to do, for anybody.
    DONE = "done"


class State(StrEnum):
    """State of a received e-mail."""

    # Each is one row: its word and its stage. One without a stage is a ValueError when this module is imported.
    _value_: str
    stage: ReceivingStage

    def __new__(cls, word: str, *stage: ReceivingStage) -> "State":
        """Return the state of this word, which has one stage; looking up a word, `State(word)`, does not come here."""
        state = str.__new__(cls, word)
        state._value_, (state.stage,) = word, stage
        return state

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
        """Whether something will still be done for it without a person: it is under way, or comes back."""
        return not self.is_final

    @property
    def is_replayable(self) -> bool:
        """Whether a person may look at its reason and replay it."""
        return self.stage in (ReceivingStage.KEPT, ReceivingStage.FAILED)


#: Nothing is left to do: the queue's message may be deleted.
FINAL = frozenset(state for state in State if state.is_final)

#: Not settled, or to be tried again.
OPEN = frozenset(state for state in State if state.is_waiting)

#: Not settled, and nobody's to look at: a failed one may be a person's (its run was cancelled), and its run says so.
UNSETTLED = frozenset(state for state in State if state.stage is ReceivingStage.UNDER_WAY)

#: Not filed, with a reason: a person looks at it and may replay it.
REPLAYABLE = tuple(state for state in State if state.is_replayable)

#: So many processes may die of one e-mail before it is quarantined as poison.
MOST_DEATHS = 3

#: The reason of an e-mail whose run a person cancelled.
CANCELLED = InboundReason.CANCELLED

#: The parser's word, `Defect.SENDER_AMBIGUOUS`, for those who read items without the parser.
SENDER_AMBIGUOUS = "sender_ambiguous"


class Verdict(StrEnum):
    """SES's result of one check; only PASS is a pass."""

    PASS = "PASS"  # noqa: S105 - SES's word, not a password
    FAIL = "FAIL"
    GRAY = "GRAY"
    PROCESSING_FAILED = "PROCESSING_FAILED"
    DISABLED = "DISABLED"
    MISSING = "MISSING"


@dataclass(frozen=True, slots=True)
class Verdicts:
    """SES's five verdicts on a mail, from its notification; `dmarc_policy` only where DMARC failed."""

    spam: Verdict = Verdict.MISSING
    virus: Verdict = Verdict.MISSING
    spf: Verdict = Verdict.MISSING
    dkim: Verdict = Verdict.MISSING
    dmarc: Verdict = Verdict.MISSING
    dmarc_policy: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One version of one raw e-mail in the inbound bucket; the identity of an e-mail.

    `version` is "" where the bucket has no versioning or the source did not say it.
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
        """The key up to its last slash, with it: what a receipt rule puts in front of the message id."""
        return self.key[: self.key.rfind("/") + 1]

    @property
    def message_id(self) -> str:
        """SES's message id: the last part of the key."""
        return self.key[self.key.rfind("/") + 1 :]


@dataclass(frozen=True, slots=True)
class Envelope:
    """What SES said about the delivery: the only trustworthy recipients and verdicts."""

    recipients: tuple[str, ...]
    sender: str
    received_at: datetime
    verdicts: Verdicts = field(default_factory=Verdicts)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One notice that an e-mail is there. `envelope` is None where only S3 told of it."""

    ref: ObjectRef
    envelope: Envelope | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attachment of an inbox item, as listed; its bytes are in the archive."""

    number: int
    filename: str
    content_type: str
    detected_type: str | None
    size: int
    sha256: str
    inline: bool
    content_id: str | None
    archive_id: str


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
    held: str | None = None
    """Why the tenant's policy keeps it from being shown, where it does."""

    @property
    def sender_ambiguous(self) -> bool:
        """Whether its From names more than one address, so that programs differ in whose mail it is."""
        return SENDER_AMBIGUOUS in self.defects


@dataclass(frozen=True, slots=True)
class Entry:
    """The ledger's line for an e-mail, as the steps need it.

    `attempts` numbers the attempt that has it in hand: an earlier one may not file or close it any more. `deaths` of
    them ended with the process that they ran in. `received_at` is when the mail came, as inboxes show it.
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
