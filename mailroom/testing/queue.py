"""In-memory twins of ports, for tests: what they answer is held to the same contract suites as the adapters.

With them come a clock that stands still and the two notices that a queue of mails has. The twins are strict where a real service may be lenient (only the newest receipt of a message counts), so that code which works
with a twin does not lean on luck.
"""

import hashlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from mailroom.domain.archive.manifests import Manifest
from mailroom.domain.delivery.events import DeliveryEvent, Kind
from mailroom.domain.errors import MailroomError, OutcomeUnknown, PermanentError, Quarantined, Reason, TransientError
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.domain.inbound.trust import Finding, Scan
from mailroom.domain.mail.soundness import check
from mailroom.domain.outbound.message import Outgoing, Party
from mailroom.domain.parsing import ParsedEmail, parse_email
from mailroom.ports.ledger import Deposit
from mailroom.ports.outbox import Capabilities, ProviderQuota, Receipt
from mailroom.ports.queue import Received

# In two halves, so that no virus scanner takes a checkout of this file for the test file itself.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}" + b"$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"

#: How often a waiting receive looks whether a message has become visible.
_LOOK_AGAIN_S = 0.01
_BATCH = 10


class Clock:
    """Stands still until a test moves it, so that no message comes back by itself."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def s3_notice(*refs: ObjectRef) -> str:
    """Return S3's word that these objects were made."""
    records = [
        {
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": ref.bucket}, "object": {"key": ref.key, "versionId": ref.version or "null"}},
        }
        for ref in refs
    ]
    return json.dumps({"Records": records})


def ses_notice(ref: ObjectRef, *recipients: str) -> str:
    """Return SES's word that a mail was received for `recipients`."""
    receipt = {
        "timestamp": "2026-11-21T09:30:00.000Z",
        "recipients": recipients,
        "action": {"type": "S3", "bucketName": ref.bucket, "objectKey": ref.key},
    }
    mail = {"source": "alice@sender.test", "messageId": ref.message_id}
    return json.dumps({"notificationType": "Received", "receipt": receipt, "mail": mail})


def an_event(kind: Kind, event_id: str = "event-1", **changes: Any) -> DeliveryEvent:
    """Return one thing that SES told."""
    at = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
    return replace(DeliveryEvent(provider="ses", event_id=event_id, kind=kind, at=at), **changes)


@dataclass(slots=True)
class _Message:
    id: str
    body: str
    visible_at: float
    receipt: str | None = None
    receive_count: int = 0
    attributes: dict[str, str] = field(default_factory=dict)


class MemoryQueue:
    """The port `Queue` in memory, safe between threads; time is whatever `clock` says, in seconds."""

    def __init__(self, *, visibility_s: float = 30, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._visibility_s = visibility_s
        self._messages: dict[str, _Message] = {}
        self._numbers = count(1)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many messages are not deleted, visible or not."""
        return len(self._messages)

    @property
    def bodies(self) -> list[str]:
        """The bodies of the messages that are not deleted, in the order in which they were sent."""
        with self._lock:
            return [message.body for message in self._messages.values()]

    def send(self, body: str, *, delay_s: float = 0, **attributes: str) -> str:
        """Put a message in the queue, visible after `delay_s`, and return its id."""
        with self._lock:
            message = _Message(f"message-{next(self._numbers)}", body, self.clock() + delay_s, attributes=attributes)
            self._messages[message.id] = message
        return message.id

    def post(self, bodies: Sequence[str], *, delay_s: int = 0) -> None:
        """Put these messages in the queue, visible after `delay_s`."""
        for body in bodies:
            self.send(body, delay_s=delay_s)

    def receive(self, *, most: int, wait_s: int) -> list[Received]:
        """Return up to `most` (at most 10) visible messages, oldest first; `wait_s` is real time, whatever the clock."""
        deadline = time.monotonic() + wait_s
        while True:
            with self._lock:
                visible = [one for one in self._messages.values() if one.visible_at <= self.clock()]
                received = [self._hand_out(message) for message in visible[: min(most, _BATCH)]]
            left_s = deadline - time.monotonic()
            if received or left_s <= 0:
                return received
            time.sleep(min(_LOOK_AGAIN_S, left_s))

    def delete(self, receipts: Sequence[str]) -> None:
        """Acknowledge these messages; a receipt that counts no longer is passed over."""
        with self._lock:
            for message in self._named(receipts):
                del self._messages[message.id]

    def hide(self, receipts: Sequence[str], *, seconds: int) -> None:
        """Keep these messages invisible for `seconds` from now; a receipt that counts no longer is passed over."""
        with self._lock:
            for message in self._named(receipts):
                message.visible_at = self.clock() + seconds

    def waiting(self) -> int:
        """Return how many messages are visible."""
        with self._lock:
            return sum(one.visible_at <= self.clock() for one in self._messages.values())

    def _hand_out(self, message: _Message) -> Received:
        message.receive_count += 1
        message.visible_at = self.clock() + self._visibility_s
        message.receipt = f"receipt-{next(self._numbers)}"
        return Received(message.id, message.receipt, message.body, message.receive_count, dict(message.attributes))

    def _named(self, receipts: Sequence[str]) -> Iterator[_Message]:
        named = set(receipts)
        yield from [message for message in self._messages.values() if message.receipt in named]


class MemoryAnswers:
    """The port `Answers` in memory. `fails` are raised first, one a call; `sent` has what went out."""

    def __init__(self, *fails: Exception) -> None:
        self.sent: list[tuple[bytes, str, str]] = []
        self._fails = list(fails)

    def send(self, raw: bytes, *, sender: str, recipient: str) -> str:
        """Remember the mail."""
        if self._fails:
            raise self._fails.pop(0)
        self.sent.append((raw, sender, recipient))
        return f"answer-{len(self.sent)}"


class MemoryScanner:
    """The port `Scanner` in memory: finds the EICAR test file, and is away, old or too small when a test says so."""

    def __init__(self, *, most_bytes: int = 1024 * 1024) -> None:
        self.down = False
        self.signatures_of = datetime.now(UTC)
        self._most_bytes = most_bytes

    def scan(self, content: bytes) -> Scan:
        """Return what is found."""
        found, why = self._look(content)
        return Scan(found, "memory", why, None if self.down else self.signatures_of)

    def _look(self, content: bytes) -> tuple[Finding, str | None]:
        if self.down:
            return Finding.UNSCANNED, "down"
        if datetime.now(UTC) - self.signatures_of > timedelta(days=7):
            return Finding.UNSCANNED, "stale"
        if len(content) > self._most_bytes:
            return Finding.UNSCANNED, "too_large"
        return (Finding.INFECTED, "Eicar-Test-Signature") if EICAR in content else (Finding.CLEAN, None)


class MemoryArchive:
    """The port `Archive` in memory, safe between threads.

    `contents` has the stored bytes by archive id. It is open, so that a test can lose or alter what is kept; `retention`
    is what deposits get from now on.
    """

    def __init__(self, *, retention: timedelta = timedelta(days=1)) -> None:
        self.contents: dict[str, bytes] = {}
        self.retention = retention
        self._receipts: dict[str, Deposit] = {}
        self._versions = count(1)
        self._lock = threading.Lock()

    def deposit(self, tenant: str, content: bytes) -> Deposit:
        """Keep `content` and return its receipt; the same content again is the same deposit, kept for longer."""
        digest = hashlib.sha256(content).hexdigest()
        archive_id = f"{tenant}/{digest}"
        now = datetime.now(UTC).replace(microsecond=0)
        with self._lock:
            if self.contents.get(archive_id) != content:
                self.contents[archive_id] = content
                self._receipts[archive_id] = self._receipt(tenant, digest, len(content), now)
            known = self._receipts[archive_id]
            is_short = known.retain_until < now + self.retention - min(self.retention / 100, timedelta(days=1))
            until = now + self.retention if is_short else known.retain_until
            self._receipts[archive_id] = replace(known, retain_until=until, verified_at=now)
            return self._receipts[archive_id]

    def find(self, archive_id: str) -> Deposit | None:
        """Return the receipt given for `archive_id`, or None."""
        return self._receipts.get(archive_id)

    def read(self, archive_id: str) -> bytes:
        """Return the content, checked against its digest."""
        with self._lock:
            receipt, content = self._receipts.get(archive_id), self.contents.get(archive_id)
        if receipt is None or content is None:
            raise LookupError("no such deposit")
        if hashlib.sha256(content).hexdigest() != receipt.sha256:
            raise PermanentError("the stored bytes are not those that were deposited", archive_id=archive_id)
        return content

    def _receipt(self, tenant: str, digest: str, size: int, now: datetime) -> Deposit:
        return Deposit(
            archive_id=f"{tenant}/{digest}",
            tenant=tenant,
            sha256=digest,
            size=size,
            bucket="memory",
            key=f"{tenant}/{digest[:2]}/{digest}",
            version=str(next(self._versions)),
            lock_mode="GOVERNANCE",
            retain_until=now + self.retention,
        )


class MemoryManifests:
    """The port `Manifests` in memory, safe between threads; `kept` has every version, oldest first."""

    def __init__(self) -> None:
        self.kept: list[Manifest] = []
        self._lock = threading.Lock()

    def keep(self, manifest: Manifest) -> None:
        """Keep a tenant's manifest; one that says nothing new is not written again."""
        with self._lock:
            older = [one for one in self.kept if one.key == manifest.key]
            renewed = manifest.renewing(older)
            newest = next((one for one in reversed(older) if one.is_of(manifest.ref, manifest.sha256)), None)
            if newest is None or not renewed.says_no_more_than(newest):
                self.kept.append(replace(renewed, written_at=datetime.now(UTC)))

    def find(self, ref: ObjectRef) -> Sequence[Manifest]:
        """Return every version of every tenant's manifest of an object, oldest first."""
        with self._lock:
            return [one for one in self.kept if (one.ref.bucket, one.ref.key) == (ref.bucket, ref.key)]


_mails = count(1)


def a_mail(**changes: Any) -> Outgoing:
    """Return a mail of acme's to Bob with an id of its own; `changes` are fields of it."""
    values: dict[str, Any] = {
        "id": str(UUID(int=next(_mails))),
        "batch_id": "batch",
        "tenant": "acme",
        "from_": Party("billing@acme.example", "Acme Billing"),
        "to": Party("bob@example.com", "Bob"),
        "subject": "Your invoice",
        "text": "Hello Bob",
        "html": None,
    }
    return Outgoing(**values | changes)


class MemoryProvider:
    """The port `MailProvider` in memory, safe between threads.

    `answers` are what the next mails meet, one each; None and an empty queue take the mail. A mail that meets
    `OutcomeUnknown` is taken, and the answer lost. `accepted` has our ids in the order of acceptance: a mail accepted twice
    is there twice.
    """

    def __init__(self, name: str = "memory", *, capabilities: Capabilities | None = None) -> None:
        self.name, self.identity = name, f"{name}/test"
        self.capabilities = capabilities or Capabilities(batch=10, utf8_addresses=True, asks=True)
        self.answers: deque[MailroomError | None] = deque()
        self.accepted: list[str] = []
        self.mails: list[Outgoing] = []
        self.allowed = ProviderQuota()
        self._lock = threading.Lock()

    def send(self, mails: Sequence[Outgoing]) -> list[Receipt | MailroomError]:
        """Take each mail, or give it the answer that waits for it."""
        with self._lock:
            return [self._send(mail) for mail in mails]

    def quota(self) -> ProviderQuota:
        """Return `allowed`."""
        return self.allowed

    def ask(self, message_id: str, *, since: datetime) -> Receipt | None:
        """Return the receipt of the mail if it was taken."""
        return self._receipt(message_id) if message_id in self.accepted else None

    def close(self) -> None:
        """Keep everything for the test to look at."""

    def _send(self, mail: Outgoing) -> Receipt | MailroomError:
        try:
            check(mail)
        except MailroomError as error:
            return error
        answer = self.answers.popleft() if self.answers else None
        if answer is None or isinstance(answer, OutcomeUnknown):
            self.accepted.append(mail.id)
            self.mails.append(mail)
        return answer or self._receipt(mail.id)

    def _receipt(self, message_id: str) -> Receipt:
        return Receipt(self.name, f"{self.name}-{message_id}")


class MemoryParser:
    """A `Parser` that parses where it is called. It cannot outlive a crash or a hang; errors it tells as the real one does."""

    def __init__(self, function: Callable[[bytes], ParsedEmail] = parse_email) -> None:
        """Take what parses."""
        self._function = function

    def parse(self, raw: bytes) -> ParsedEmail:
        """Return what `raw` says."""
        try:
            return self._function(raw)
        except MemoryError:
            raise Quarantined(Reason.UNPARSABLE, cause="memory") from None
        except Exception as error:  # noqa: BLE001 - as the process does, whatever it is
            raise Quarantined(Reason.UNPARSABLE, cause=type(error).__name__) from None


class MemoryCounter:
    """The port `OutsideCounter` in memory. It is open, so that a test can lose it; `down` is an outage."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.down = False

    def read(self, name: str) -> int | None:
        """Return the value, or None where nothing is kept."""
        if self.down:
            raise TransientError("out of reach")
        return self.values.get(name)

    def raise_to(self, name: str, counter: int) -> None:
        """Keep `counter` where the value is lower or missing."""
        if self.down:
            raise TransientError("out of reach")
        self.values[name] = max(counter, self.values.get(name, 0))
