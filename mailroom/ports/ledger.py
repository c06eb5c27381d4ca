"""What Mailroom needs from the outside world, one Protocol for each need.

Adapters fulfil them (`mailroom/adapters/`), in-memory twins too (`mailroom/testing/queue.py`), and one contract suite for each
port proves both (`tests/contract/`). All calls are blocking; callers that live in an event loop use a thread. Every call
may raise `TransientError` (and `Throttled`); other errors are named at the call.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from mailroom.domain.archive.manifests import Manifest
from mailroom.domain.errors import Reason
from mailroom.domain.inbound.envelope import Forms
from mailroom.domain.inbound.received_email import Arrival, Entry, Envelope, Item, ObjectRef, State
from mailroom.domain.inbound.routing import Address, Route
from mailroom.domain.inbound.trust import Policy, Scan
from mailroom.domain.parsing import ParsedEmail
from mailroom.ports.queue import Queue


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A raw object as it lies in the inbound bucket. `metadata` has S3's user metadata without `x-amz-meta-`.

    `sse_kms_key` is the key under which S3 itself had the object encrypted (SSE-KMS), None where it was not.
    """

    body: bytes
    metadata: Mapping[str, str]
    sse_kms_key: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """An object of the inbound bucket, as a listing names it."""

    key: str
    modified_at: datetime


class MailStore(Protocol):
    """The bucket that SES writes to."""

    def fetch(self, ref: ObjectRef) -> StoredObject:
        """Return the object, whole.

        Raises:
            Quarantined: `gone` when the object or its version is not there; `too_large` over the size limit,
                told before the body is read.
        """

    def list(self, bucket: str, *, after: str, most: int) -> Sequence[Listed]:
        """Return up to `most` (at most 1000) objects whose keys come after `after`, in the order of their keys."""


class Keys(Protocol):
    """The key service that wraps the data keys of encrypted mails."""

    def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """Return the data key.

        Raises:
            Quarantined: `not_decryptable` when the key service refuses the blob, its key or its context.
            TransientError: also when the key itself cannot be used: disabled, gone, or not allowed to us.
        """

    def new_data_key(self, context: Mapping[str, str]) -> tuple[bytes, bytes]:
        """Return a new 256-bit data key and the same key wrapped, bound to `context`."""


class Parser(Protocol):
    """What reads e-mails, kept apart so that a hostile one costs itself alone."""

    def parse(self, raw: bytes) -> ParsedEmail:
        """Return what `raw` says, as far as it can be read.

        Raises:
            Quarantined: `unparsable` when reading it crashed, hung or took too much memory.
        """


@dataclass(frozen=True, slots=True)
class Deposit:
    """The archive's receipt: what is kept, where, and until when nobody can delete it.

    `archive_id` is `<tenant>/<sha256>`: the same bytes for the same tenant are the same deposit. `verified_at` is when the
    store last confirmed the bytes and the lock, as it does at each deposit.
    """

    archive_id: str
    tenant: str
    sha256: str
    size: int
    bucket: str
    key: str
    version: str
    lock_mode: str
    retain_until: datetime
    verified_at: datetime | None = field(default=None, compare=False)


class Archive(Protocol):
    """The SAE, the legal electronic archive: write-once deposits keyed by content."""

    def deposit(self, tenant: str, content: bytes) -> Deposit:
        """Keep `content` and return its receipt; the same content again is the same deposit, kept for longer.

        Its lock is extended to at least the retention from now, less a day or a hundredth, before the receipt is given;
        it is never shortened or weakened. Anything else that lies under its key is reported, and is not in the way.

        Raises:
            NotPermitted: a permission to read or extend locks is missing; the message names it.
        """

    def find(self, archive_id: str) -> Deposit | None:
        """Return the receipt given for `archive_id`, or None."""

    def read(self, archive_id: str) -> bytes:
        """Return the content, checked against its digest.

        Raises:
            LookupError: no such deposit, or its object is no longer in the store.
            PermanentError: the stored bytes are not those that were deposited.
        """


class Manifests(Protocol):
    """What the archive keeps of each mail besides its bytes, so that a forgetful ledger costs nothing."""

    def keep(self, manifest: Manifest) -> None:
        """Keep a tenant's manifest, locked by the rule of its class. One that says nothing new is not written again.

        What is there already is renewed, never replaced: older versions stay, and the new one names their recipients too.
        """

    def find(self, ref: ObjectRef) -> Sequence[Manifest]:
        """Return every version of every tenant's manifest of an object, oldest first; none where nothing was kept."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's wish to have an e-mail in hand; whoever gave no sign of life since `stale_before` has lost it."""

    worker: str
    stale_before: datetime


class Ledger(Protocol):
    """The book of received e-mails: one line for each, and every fact about it in order."""

    def register(self, arrival: Arrival, *, now: datetime, claim: Claim | None = None) -> Entry | None:
        """Return the line for this arrival, made now if it is the first notice; a later notice adds its envelope.

        An e-mail that was closed without its envelope is open again: it may have more recipients, or a virus.
        So is one whose object was not there, for some times: the notice may have come before its object.
        With a claim, the e-mail is taken in hand as well, and None says that another living worker has it.
        """

    def release(self, email_id: str, *, worker: str) -> None:
        """Give up the claim of `worker`, so that any worker may take the e-mail in hand at once.

        What it began and did not close is open again: its worker lives, so this is no death.
        """

    def begin(self, ref: ObjectRef, *, now: datetime, run_id: str | None = None, claim: Claim | None = None) -> Entry:
        """Note that processing starts (again); the line is made if nobody registered the object.

        With a claim, the e-mail is taken in hand as well. The entry's `attempts` is the token that `close` and
        `Inbox.file` ask for.

        Raises:
            TakenOver: another living worker, or another run in this one, has the e-mail in hand.
        """

    def beat(self, email_ids: Sequence[str], *, worker: str, now: datetime) -> None:
        """Note that `worker` is alive and has these e-mails in hand."""

    def deposited(
        self, email_id: str, *, archive_ids: Sequence[str], now: datetime, manifests: Sequence[str] = ()
    ) -> None:
        """Note what the archive keeps of this e-mail, besides what is noted already; `manifests` names their tenants."""

    def recall(self, email_id: str, *, envelope: Envelope | None, received_at: datetime, now: datetime) -> Entry:
        """Note what the archive remembers of this e-mail, and return its line, open again as with `register`; an envelope that is known stays."""

    def routed(
        self,
        email_id: str,
        routes: Sequence[Route],
        *,
        now: datetime,
        scan: Scan | None = None,
        held: Mapping[str, Reason] | None = None,
    ) -> None:
        """Note for whom this e-mail is and why, what the scanner said, and which tenants' policies hold it back."""

    def close(
        self,
        email_id: str,
        state: State,
        *,
        now: datetime,
        reason: str | None = None,
        facts: Mapping[str, Any] | None = None,
        attempt: int | None = None,
    ) -> State:
        """Note how processing ended and return the state that stands: a filed e-mail stays filed.

        A quarantined one that had been filed before more was known of it has its items withdrawn.

        Raises:
            TakenOver: a later attempt than `attempt` has the e-mail in hand.
        """

    def bury(self, email_id: str, *, now: datetime, facts: Mapping[str, Any]) -> State:
        """Note that the process in which the e-mail was worked on has died of it, and return the state that stands.

        It is failed, and quarantined as poison once `MOST_DEATHS` have died. `register` and `begin` count the deaths
        that nobody saw: work begun by another worker that gives no sign of life.
        """

    def find(self, any_id: str) -> Entry | None:
        """Return the line by its own id, SES's message id, an item's id or a run's id; None when there is none."""

    def select(self, *, states: Sequence[State], reason: str | None, since: datetime | None, limit: int) -> list[Entry]:
        """Return lines in these states, oldest first."""

    def silent(self, *, before: datetime, limit: int) -> list[Entry]:
        """Return open lines without a sign of life since `before`, oldest first; of failed ones those of before a restore, unless a person cancelled them."""

    def blind(self, *, before: datetime | None, limit: int) -> list[Entry]:
        """Return lines filed or quarantined without an envelope before a restore, newest first; with `before`, received earlier than that."""

    def restored_at(self) -> datetime | None:
        """Return when the database was last recognised as restored; None: never."""

    def known(self, bucket: str, keys: Sequence[str]) -> set[str]:
        """Return which of these objects have a line, or can have none: a key that no notification may hold is named and stepped over."""

    def trace(self, email_id: str) -> dict[str, Any]:
        """Return everything recorded on one e-mail: line, activities, items, attachments, deposits."""


class Directory(Protocol):
    """Who receives at which address."""

    def lookup(self, patterns: Iterable[str]) -> dict[str, list[Address]]:
        """Return the addresses that have these patterns, and for each `@domain` among them those with stars there."""

    def add(self, address: Address) -> bool:
        """Add an address; False when it is there already for this tenant."""

    def set_processor(self, pattern: str, tenant: str, processor: str) -> bool:
        """Have a processor work on what this address receives; False when the tenant has no such address."""

    def all(self) -> list[Address]:
        """Return every address, sorted by tenant and pattern."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where a tenant wants to be told of its mail, and the secret that proves who tells."""

    url: str
    secret: str = field(repr=False)


class Tenants(Protocol):
    """What each customer of this installation has chosen. A tenant that is not known yet is made when it chooses."""

    def policy(self, tenant: str) -> Policy:
        """Return what the tenant wants done with doubtful mail; the default for one that never said."""

    def set_policy(self, tenant: str, policy: Policy) -> None:
        """Have this policy hold for the mails that come from now on."""

    def webhook(self, tenant: str) -> Webhook | None:
        """Return where the tenant wants to be told of its mail, or None."""

    def set_webhook(self, tenant: str, webhook: Webhook | None) -> None:
        """Have the tenant told there from now on; None tells nobody any more."""


class Scanner(Protocol):
    """Looks for viruses."""

    def scan(self, content: bytes) -> Scan:
        """Return what is found. Never raises: what kept the scanner from looking is a finding, `unscanned`."""


class Answers(Protocol):
    """Sends one finished mail, such as a receipt."""

    def send(self, raw: bytes, *, sender: str, recipient: str) -> str:
        """Hand the mail over once and return the service's id of it.

        Raises:
            TransientError: not handed over; safe to retry.
            OutcomeUnknown: the answer was lost; the service may have the mail.
            Refused: this recipient or content will never be accepted.
        """


class Webhooks(Protocol):
    """Posts to URLs that tenants chose."""

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Post once and return the status, which is 2xx. No redirect is followed.

        Raises:
            TransientError: not reachable, or it asks to come again.
            Refused: it refuses, or the URL leads where no tenant may have us go.
        """


class Processings(Protocol):
    """What processors did with e-mails; a row for each stands before anything leaves."""

    def claim(
        self,
        email_id: str,
        processor: str,
        *,
        now: datetime,
        sender: str | None = None,
        once_in: timedelta | None = None,
    ) -> str | None:
        """Note the intent and return None, or why there must be none: `done_before`, `too_often` for this sender, or `restored`: it may be forgotten."""

    def release(self, email_id: str, processor: str) -> None:
        """Take the intent back: nothing has left."""

    def is_done(self, email_id: str, processor: str) -> bool:
        """Return whether the processor has ended well."""

    def end(
        self, email_id: str, processor: str, state: str, *, now: datetime, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Note how the processor ended; the row is made where there was no intent."""

    def failed(self, email_id: str) -> list[str]:
        """Return what failed for the e-mail and was not done since, as `<processor>/<tenant>`, in this order."""

    def failed_emails(self, processor: str, *, since: datetime | None, limit: int) -> list[str]:
        """Return the ids of the e-mails at which this processor failed, oldest first."""

    def kept_before(self, email_id: str, archive_ids: Sequence[str]) -> set[str]:
        """Return those of these deposits that were in the archive before the e-mail came."""


class Inbox(Protocol):
    """What users see."""

    def file(self, email_id: str, items: Sequence[Item], *, now: datetime, attempt: int | None = None) -> list[str]:
        """Put one item in each recipient's inbox, all or none, and return their ids in order.

        An item that is there already (same e-mail and recipient) is left as it is, but for being withdrawn or not.

        Raises:
            TakenOver: a later attempt than `attempt` has the e-mail in hand.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """Everything that the way of an inbound e-mail needs, opened.

    `queue` is the inbound queue, for what is announced anew; `bucket` and `account_id` are those that SES receives for.
    None of `rules` accepts any receipt rule of the account. `forms` are the objects that may come beside those of SES's own
    form, and what S3 encrypted under another key than `kms_key_arn` is as good as plain. Without a `scanner` SES's own
    verdict has to do. The processor `digest` needs `answers`, `webhook` needs `webhooks` and `tenants`, and both note what
    they did in `processings`. `pages_url` is the base of links in reports. `checks` ask whether these ports would serve now, by
    their own clients: `database`, `mails`, `keys`, `archive`.
    """

    mails: MailStore
    keys: Keys
    archive: Archive
    manifests: Manifests
    ledger: Ledger
    directory: Directory
    inbox: Inbox
    parser: Parser
    queue: Queue
    bucket: str
    account_id: str
    rules: frozenset[str] | None = None
    forms: Forms = field(default_factory=Forms)
    scanner: Scanner | None = None
    answers: Answers | None = None
    webhooks: Webhooks | None = None
    tenants: Tenants | None = None
    processings: Processings | None = None
    kms_key_arn: str = ""
    pages_url: str = ""
    checks: Mapping[str, Callable[[], None]] = field(default_factory=dict)
