"""What Mailroom needs from the outside world, one Protocol for each need.

Adapters fulfil them (`mailroom/adapters/`), in-memory twins too (`mailroom/testing.py`), and one contract suite for each
port proves both (`tests/contract/`). All calls are blocking; callers that live in an event loop use a thread. Every call
may raise `TransientError` (and `Throttled`); other errors are named at the call.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from mailroom.domain.envelope import Forms
from mailroom.domain.inbound import Arrival, Entry, Item, ObjectRef, State
from mailroom.domain.routing import Address, Route


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A raw object as it lies in the inbound bucket. `metadata` has S3's user metadata without `x-amz-meta-`.

    `sse_kms_key` is the key under which S3 itself had the object encrypted (SSE-KMS), None where it was not.
    """

    body: bytes
    metadata: Mapping[str, str]
    sse_kms_key: str | None = None


class MailStore(Protocol):
    """The bucket that SES writes to."""

    def fetch(self, ref: ObjectRef) -> StoredObject:
        """Return the object, whole.

        Raises:
            Quarantined: `gone` when the object or its version is not there; `too_large` over the size limit,
                told before the body is read.
        """


class Keys(Protocol):
    """The key service that wraps the data keys of encrypted mails."""

    def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """Return the data key.

        Raises:
            Quarantined: `not_decryptable` when the key service refuses the blob, its key or its context.
        """

    def new_data_key(self, context: Mapping[str, str]) -> tuple[bytes, bytes]:
        """Return a new 256-bit data key and the same key wrapped, bound to `context`."""


@dataclass(frozen=True, slots=True)
class Deposit:
    """The archive's receipt: what is kept, where, and until when nobody can delete it.

    `archive_id` is `<tenant>/<sha256>`: the same bytes for the same tenant are the same deposit.
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


class Archive(Protocol):
    """The SAE, the legal electronic archive: write-once deposits keyed by content."""

    def deposit(self, tenant: str, content: bytes) -> Deposit:
        """Keep `content` and return its receipt; the same content again returns the same receipt.

        Raises:
            PermanentError: what lies in the archive under this digest is not this content.
        """

    def find(self, archive_id: str) -> Deposit | None:
        """Return the receipt given for `archive_id`, or None."""

    def read(self, archive_id: str) -> bytes:
        """Return the content, checked against its digest.

        Raises:
            LookupError: no such deposit, or its object is no longer in the store.
            PermanentError: the stored bytes are not those that were deposited.
        """


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's wish to have an e-mail in hand; whoever gave no sign of life since `stale_before` has lost it."""

    worker: str
    stale_before: datetime


class Ledger(Protocol):
    """The book of received e-mails: one line for each, and every fact about it in order."""

    def register(self, arrival: Arrival, *, now: datetime, claim: Claim | None = None) -> Entry | None:
        """Return the line for this arrival, made now if it is the first notice; a later notice adds its envelope.

        An e-mail that was closed before its envelope was known is open again: it may have more recipients, or a virus.
        With a claim, the e-mail is taken in hand as well, and None says that another living worker has it.
        """

    def release(self, email_id: str, *, worker: str) -> None:
        """Give up the claim of `worker`, so that any worker may take the e-mail in hand at once."""

    def begin(self, ref: ObjectRef, *, now: datetime, run_id: str | None = None) -> Entry:
        """Note that processing starts (again); the line is made if nobody registered the object."""

    def beat(self, email_ids: Sequence[str], *, worker: str, now: datetime) -> None:
        """Note that `worker` is alive and has these e-mails in hand."""

    def deposited(self, email_id: str, *, archive_ids: Sequence[str], now: datetime) -> None:
        """Note what the archive keeps of this e-mail, besides what is noted already."""

    def routed(self, email_id: str, routes: Sequence[Route], *, now: datetime) -> None:
        """Note for whom this e-mail is, and why."""

    def close(
        self,
        email_id: str,
        state: State,
        *,
        now: datetime,
        reason: str | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> State:
        """Note how processing ended and return the state that stands: a filed e-mail stays filed."""

    def find(self, any_id: str) -> Entry | None:
        """Return the line by its own id, SES's message id, an item's id or a run's id; None when there is none."""

    def select(self, *, states: Sequence[State], reason: str | None, since: datetime | None, limit: int) -> list[Entry]:
        """Return lines in these states, oldest first."""

    def trace(self, email_id: str) -> dict[str, Any]:
        """Return everything recorded on one e-mail: line, activities, items, attachments, deposits."""


class Directory(Protocol):
    """Who receives at which address."""

    def lookup(self, patterns: Iterable[str]) -> dict[str, list[Address]]:
        """Return the addresses that have these patterns (`a@b.c` or `@b.c`)."""

    def add(self, address: Address) -> bool:
        """Add an address; False when it is there already for this tenant."""

    def all(self) -> list[Address]:
        """Return every address, sorted by tenant and pattern."""


class Inbox(Protocol):
    """What users see."""

    def file(self, email_id: str, items: Sequence[Item], *, now: datetime) -> list[str]:
        """Put one item in each recipient's inbox, all or none, and return their ids in order.

        An item that is there already (same e-mail and recipient) is left as it is.
        """


@dataclass(frozen=True, slots=True)
class Received:
    """One message of a queue, as received this time."""

    message_id: str
    receipt: str
    body: str
    receive_count: int


class Queue(Protocol):
    """A queue with visibility timeouts and at-least-once delivery."""

    def receive(self, *, most: int, wait_s: int) -> list[Received]:
        """Return up to `most` (1 to 10) messages, after at most `wait_s` seconds; they stay invisible meanwhile."""

    def delete(self, receipts: Sequence[str]) -> None:
        """Acknowledge: these messages never come back."""

    def hide(self, receipts: Sequence[str], *, seconds: int) -> None:
        """Keep these messages invisible for `seconds` from now; 0 gives them back at once."""


@dataclass(frozen=True, slots=True)
class Run:
    """A flow run as the orchestrator tells of it."""

    id: str
    name: str
    state: str
    url: str


class RunStarter(Protocol):
    """The orchestrator, seen from the product."""

    def start(self, ref: ObjectRef) -> Run:
        """Return the run for this object, created and scheduled if there is none."""

    def retry(self, run_id: str) -> Run:
        """Schedule this run again under its own id.

        Raises:
            LookupError: the orchestrator has no such run.
        """

    def find(self, run_id: str) -> Run | None:
        """Return the run, or None."""

    def tasks(self, run_id: str) -> Iterator[tuple[str, str]]:
        """Yield the name and state of each task of a run, in the order of their start."""


class Inbound:
    """Everything that the way of an inbound e-mail needs, opened.

    No dataclass: Prefect walks through the dataclasses among a task's arguments, at each task, and would walk here.
    """

    def __init__(
        self,
        *,
        mails: MailStore,
        keys: Keys,
        archive: Archive,
        ledger: Ledger,
        directory: Directory,
        inbox: Inbox,
        account_id: str,
        rules: frozenset[str] | None = None,
        forms: Forms | None = None,
        kms_key_arn: str = "",
        pages_url: str = "",
    ) -> None:
        """Take the ports.

        Args:
            account_id: The AWS account that SES receives for.
            rules: Receipt rules whose objects are accepted; None accepts any rule of the account.
            forms: Which objects beside those of SES's own form may come.
            kms_key_arn: The installation's key; objects that S3 encrypted under another are as good as plain.
            pages_url: Base URL of Mailroom's pages, for links in reports.
        """
        self.mails, self.keys, self.archive = mails, keys, archive
        self.ledger, self.directory, self.inbox = ledger, directory, inbox
        self.account_id, self.rules, self.pages_url = account_id, rules, pages_url
        self.forms, self.kms_key_arn = forms or Forms(), kms_key_arn
