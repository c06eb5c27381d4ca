"""The load of a soak: mails of several kinds, batches in both lanes, plain orders, events, and readers of pages and API.

It behaves like real callers: requests that are refused while a part is restarted are repeated, a batch with the same key.
Accepted mail is recorded for `mailroom check`. Delivery events come from the emulator's SES, chosen by the recipient's address.
"""

import json
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP as SMTP_LINES
from itertools import count
from typing import Any
from uuid import uuid4

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from mailroom.audit.sent_mails import SentMail
from mailroom.sandbox.drills.drill_stack import ANNA, DrillStack
from mailroom.sandbox.stand_ins.verdicts import EICAR

MAIL_EVERY_S, BATCH_EVERY_S, ORDER_EVERY_S, READ_EVERY_S = 4.0, 20.0, 30.0, 3.0
#: Mails of each batch; one bounces (a breaker opens at 5 %).
IN_A_BATCH = 50
#: A breaker opens at the third complaint of a tenant.
MOST_COMPLAINTS = 2
#: Every third batch is scheduled for later.
AHEAD_S = 30.0

_PATIENCE_S = 120.0
_PAUSE_S = 0.2
_EXTRAS = ("bounce", "open", "open", "click", "scanner")
_PAGES = ("/", f"/inboxes/{ANNA}", "/quarantine", "/batches", "/suppressions", "/healthz", "/metrics")
_ROUTES = ("/v1/messages", "/v1/inbound", f"/v1/inboxes/{ANNA}/items", "/v1/suppressions", "/readyz")


@dataclass(slots=True)
class Load:
    """Callers of one installation. `is_disturbed` says whether a part that a request needs is being restarted."""

    drill_stack: DrillStack
    is_disturbed: Callable[[], bool]
    sent: list[SentMail] = field(default_factory=list)
    batches: dict[str, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    #: Errors that callers met while nothing was disturbed, with their counts.
    faults: Counter[str] = field(default_factory=Counter)
    stop: threading.Event = field(default_factory=threading.Event)
    _numbers: "count[int]" = field(default_factory=count)
    _sqs: Any = None
    _http: httpx.Client | None = None

    def run(self) -> None:
        """Run the load until `stop` is set."""
        headers = {"Authorization": f"Bearer {self.drill_stack.facts['api_key']}"}
        self._sqs = self.drill_stack.aws("sqs")
        kinds: list[tuple[float, Callable[[], None]]] = [
            (MAIL_EVERY_S, self.mail),
            (BATCH_EVERY_S, self.batch),
            (ORDER_EVERY_S, self.order),
            (READ_EVERY_S, self.read),
        ]
        with httpx.Client(base_url=self.drill_stack.facts["api_url"], headers=headers, timeout=60) as self._http:
            due = [time.monotonic()] * len(kinds)
            while not self.stop.is_set():
                for at, (every_s, act) in enumerate(kinds):
                    if time.monotonic() >= due[at]:
                        # Mails that an outage delayed are not all sent at once afterwards.
                        due[at] = max(due[at] + every_s, time.monotonic())
                        self._try(act)
                self.stop.wait(_PAUSE_S)

    def mail(self) -> None:
        """Send one mail: small ones to one tenant or two, some large, some with a virus, some broken."""
        number = next(self._numbers)
        if number % 40 == 20:
            [sent] = self.drill_stack.send(1, mail=_with_virus(number), state="quarantined")
            self.counts["viruses"] += 1
        elif number % 15 == 7:
            [sent] = self.drill_stack.send(1, mail=_large(number, self.drill_stack.chance.randbytes(750_000)))
        elif number % 15 == 11:
            [sent] = self.drill_stack.send(1, mail=_broken(number))
        else:
            sent, *more = self.drill_stack.send(2)
            self.sent += more
        self.sent.append(sent)

    def batch(self) -> None:
        """Submit a batch, with the same key until it is accepted; every third is scheduled for later."""
        number = len(self.batches)
        body: dict[str, Any] = {
            "template": {
                "subject": "Hello {{ name }}",
                "text": "Dear {{ name }},\n\nhello.",
                "html": "<p>{{ name }}</p>",
            },
            "recipients": self._recipients(number),
            "lane": "bulk" if number % 2 else "transactional",
        }
        if number % 3 == 2:
            body["send_at"] = (datetime.now(UTC) + timedelta(seconds=AHEAD_S)).isoformat()
            self.counts["batches ahead"] += 1
        key, deadline = {"Idempotency-Key": str(uuid4())}, time.monotonic() + _PATIENCE_S
        while True:
            answer = self._ask("POST", "/v1/batches", headers=key, json=body)
            if answer is not None and answer.status_code == httpx.codes.ACCEPTED:
                self.batches[answer.json()["id"]] = answer.json()["messages"]
                return
            if answer is not None and answer.is_client_error:
                self.faults[f"POST /v1/batches was refused: {answer.status_code}"] += 1
                return
            if time.monotonic() > deadline:
                self.faults[f"POST /v1/batches was not accepted within {_PATIENCE_S:.0f} s"] += 1
                return
            if self.stop.wait(1):
                return

    def order(self) -> None:
        """Put a plain producer's mail on the mailbox queue."""
        number = next(self._numbers)
        kinds = {"channel": "email", "type": "plaintext"}
        self._sqs.send_message(
            QueueUrl=self.drill_stack.facts["mailbox_queue_url"],
            MessageBody=json.dumps({"to": f"plain+{number}@users.test", "subject": "plain", "message": "hello"}),
            MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in kinds.items()},
        )
        self.counts["orders"] += 1

    def read(self) -> None:
        """Read one page and one route."""
        number = next(self._numbers)
        self._ask("GET", _PAGES[number % len(_PAGES)])
        self._ask("GET", _ROUTES[number % len(_ROUTES)])
        if self.batches:
            self._ask("GET", f"/v1/batches/{list(self.batches)[number % len(self.batches)]}")

    def _recipients(self, number: int) -> list[dict[str, Any]]:
        """Return recipients for every outcome; one of them is suppressed after the first batch."""
        words = [*_EXTRAS, *["success"] * (IN_A_BATCH - len(_EXTRAS))]
        if number % 2:
            words[0] = "softbounce"
        if number in range(1, 1 + MOST_COMPLAINTS):
            words[-1] = "complaint"
        people = [f"{word}+{number}-{at}@users.test" for at, word in enumerate(words)]
        people[-2] = "bounce+again@users.test"
        return [{"to": to, "data": {"name": f"number {at}"}} for at, to in enumerate(people)]

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except (OSError, smtplib.SMTPException, httpx.TransportError, BotoCoreError, ClientError) as error:
            self._fault(f"{act.__name__}: {type(error).__name__}")

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        assert self._http is not None
        self.counts["requests"] += 1
        try:
            answer = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            # The service itself is never restarted.
            self.faults[f"{method} {_route(path)}: {type(error).__name__}"] += 1
            return None
        if answer.is_server_error:
            self._fault(f"{method} {_route(path)}: {answer.status_code}")
        elif answer.is_client_error and method == "GET":
            self.faults[f"{method} {_route(path)}: {answer.status_code}"] += 1
        return answer

    def _fault(self, what: str) -> None:
        if self.is_disturbed():
            self.counts["refused during a restart"] += 1
        else:
            self.faults[what] += 1


def _route(path: str) -> str:
    return "/v1/batches/ID" if path.startswith("/v1/batches/") else path


def _a_mail(number: int, words: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "scanner@office.test", ANNA, f"soak {number}"
    mail["Message-ID"] = f"<soak-{number}@office.test>"
    mail.set_content(words)
    return mail


def _with_virus(number: int) -> bytes:
    mail = _a_mail(number, "See the attachment.")
    mail.add_attachment(EICAR, maintype="application", subtype="octet-stream", filename="invoice.com")
    return mail.as_bytes(policy=SMTP_LINES)


def _large(number: int, content: bytes) -> bytes:
    mail = _a_mail(number, "A scan.")
    mail.add_alternative("<p>A scan: <img src='cid:scan'></p>", subtype="html")
    mail.add_attachment(content, maintype="image", subtype="tiff", filename="scan.tiff")
    return mail.as_bytes(policy=SMTP_LINES)


def _broken(number: int) -> bytes:
    """Return a multipart mail without its boundary, whose header names an unknown charset."""
    head = f"From: scanner@office.test\r\nTo: {ANNA}\r\nSubject: =?x-unknown?Q?soak_{number}?=\r\nMIME-Version: 1.0\r\n"
    return (head + 'Content-Type: multipart/mixed; boundary="nowhere"\r\n\r\nno part of anything\r\n').encode()
