"""Stand-ins for SendGrid, Postmark and SES v2: they answer as the vendors document, misbehave on demand, and count.

What was accepted is counted by our own id, the way each vendor would give it back: custom_args, Metadata, EmailTags. Their
refusals quote the recipient's address, as the real ones do, so that tests can see it go no further.
"""

import base64
import json
import socket
import struct
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from mailroom.sandbox.stand_ins.moods import RETRY_AFTER_S, Mood

_ACCEPTS = frozenset({Mood.GOOD, Mood.FAILS_AFTER, Mood.GARBAGE, Mood.TWICE, Mood.RESETS_AFTER, Mood.HANGS})


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: status, JSON body, headers."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Vendor(ABC):
    """What all three share: `moods` are for the next requests, one each, then all is well."""

    #: What it answers in a mood that accepts nothing.
    refusals: ClassVar[dict[Mood, Said]] = {}

    def __init__(self) -> None:
        self.moods: deque[Mood] = deque()
        self.requests = 0
        #: Our ids, in the order of acceptance: a mail accepted twice is here twice.
        self.accepted: list[str] = []
        #: What came, as the vendor would read it.
        self.payloads: list[Any] = []
        self.released = threading.Event()
        self._lock = threading.Lock()

    def mood(self) -> Mood:
        """Return how the request that came just now is treated."""
        with self._lock:
            self.requests += 1
            return self.moods.popleft() if self.moods else Mood.GOOD

    def answer(self, mood: Mood, payload: Any) -> Said:
        """Take the request in, or not, and return the answer."""
        with self._lock:
            if mood not in _ACCEPTS:
                return self.refusals[mood]
            self.payloads.append(payload)
            return self.accept(payload)

    @abstractmethod
    def accept(self, payload: Any) -> Said:
        """Count a request's mails and return the answer for them."""

    def look(self, path: str, query: dict[str, list[str]]) -> Said:
        """Answer a question."""
        return Said(404, {"message": "no such thing"})


class SendGridStandIn(Vendor):
    """POST /v3/mail/send."""

    refusals: ClassVar[dict[Mood, Said]] = {
        Mood.SLOW: Said(429, {"errors": [{"message": "too many requests"}]}, {"Retry-After": str(RETRY_AFTER_S)}),
        Mood.STOPPED: Said(401, {"errors": [{"message": "authorization required"}]}),
        Mood.REFUSES: Said(400, {"errors": [{"message": "not a valid address: bob@example.com", "field": "to"}]}),
        Mood.TOO_LARGE: Said(413, {"errors": [{"message": "payload too large"}]}),
    }

    def accept(self, payload: Any) -> Said:
        """Count the mail; its id is in a header, the body is empty. A mail without parts, or with an empty one, is refused."""
        if not payload["content"] or not all(part["value"] for part in payload["content"]):
            return Said(400, {"errors": [{"message": "the content value is empty", "field": "content.0.value"}]})
        self.accepted += [one["custom_args"]["mailroom-id"] for one in payload["personalizations"]]
        return Said(202, headers={"X-Message-Id": f"sg-{len(self.accepted)}"})


class PostmarkStandIn(Vendor):
    """POST /email/batch, GET /messages/outbound."""

    refusals: ClassVar[dict[Mood, Said]] = {
        Mood.SLOW: Said(429, {"ErrorCode": 429, "Message": "Rate limit exceeded"}, {"Retry-After": str(RETRY_AFTER_S)}),
        Mood.STOPPED: Said(401, {"ErrorCode": 10, "Message": "Bad or missing API token"}),
        Mood.REFUSES: Said(422, {"ErrorCode": 300, "Message": "Invalid 'To' address: 'bob@example.com'."}),
        Mood.TOO_LARGE: Said(413, {"ErrorCode": 0, "Message": "Request too large"}),
    }

    def __init__(self) -> None:
        super().__init__()
        #: Addresses that had a hard bounce: refused one by one inside a batch.
        self.inactive: set[str] = set()

    def accept(self, payload: Any) -> Said:
        """Count each mail that is not to an inactive address."""
        return Said(200, [self._one(mail) for mail in payload])

    def look(self, path: str, query: dict[str, list[str]]) -> Said:
        """Search by metadata."""
        tag = query.get("metadata_mailroom-id", [""])[0]
        found = [number for number, known in enumerate(self.accepted, 1) if known == tag]
        messages = [{"MessageID": f"pm-{number}", "Metadata": {"mailroom-id": tag}} for number in found]
        return Said(200, {"TotalCount": len(found), "Messages": messages})

    def _one(self, mail: Any) -> dict[str, Any]:
        if any(address in mail["To"] for address in self.inactive):
            return {"ErrorCode": 406, "Message": f"inactive recipient: {mail['To']}"}
        self.accepted.append(mail["Metadata"]["mailroom-id"])
        return {"ErrorCode": 0, "Message": "OK", "MessageID": f"pm-{len(self.accepted)}", "To": mail["To"]}


class SesStandIn(Vendor):
    """POST /v2/email/outbound-emails, GET /v2/email/account."""

    refusals: ClassVar[dict[Mood, Said]] = {
        mood: Said(status, {"message": text}, {"x-amzn-ErrorType": code})
        for mood, status, code, text in (
            (Mood.SLOW, 429, "TooManyRequestsException", "Maximum sending rate exceeded."),
            (Mood.DAILY, 429, "TooManyRequestsException", "Daily message quota exceeded."),
            (Mood.STOPPED, 400, "SendingPausedException", "Sending is paused for this account."),
            (Mood.REFUSES, 400, "MessageRejected", "Email address is not verified: bob@example.com"),
            (Mood.TOO_LARGE, 413, "RequestEntityTooLarge", "Too large."),
        )
    }

    def __init__(self) -> None:
        super().__init__()
        self.account: dict[str, Any] = {
            "SendingEnabled": True,
            "EnforcementStatus": "HEALTHY",
            "SendQuota": {"Max24HourSend": 50_000.0, "MaxSendRate": 14.0, "SentLast24Hours": 12.0},
        }

    def accept(self, payload: Any) -> Said:
        """Count the mail by its tag."""
        tags = {tag["Name"]: tag["Value"] for tag in payload["EmailTags"]}
        payload["raw"] = base64.b64decode(payload["Content"]["Raw"]["Data"])
        self.accepted.append(tags["mailroom-id"])
        return Said(200, {"MessageId": f"ses-{len(self.accepted)}"})

    def look(self, path: str, query: dict[str, list[str]]) -> Said:
        """Tell of the account."""
        self.requests += 1
        return Said(200, self.account)


@contextmanager
def serving(vendor: Vendor, *, port: int = 0) -> Iterator[str]:
    """Serve a stand-in on a port of the loopback interface, any free one if none is given; the URL is where."""
    handler = type("Handler", (_Handler,), {"vendor": vendor})
    server = _Server(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        vendor.released.set()
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    #: With the default of 5 a burst of new connections overflows it, and the kernel resets one that has sent its request.
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    vendor: Vendor

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self._say(self.vendor.look(parts.path, parse_qs(parts.query)))

    def do_POST(self) -> None:
        mood = self.vendor.mood()
        if mood is Mood.RESETS_BEFORE:
            self._reset()
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        said = self.vendor.answer(mood, json.loads(body))
        match mood:
            case Mood.RESETS_AFTER:
                self._reset()
            case Mood.HANGS:
                self.vendor.released.wait()
                self.close_connection = True
            case Mood.FAILS_AFTER:
                self._say(Said(500, {"message": "internal error for bob@example.com"}))
            case Mood.GARBAGE:
                self._write(200, b"<html>it works", {"Content-Type": "text/html"})
            case Mood.TWICE:
                self._say(said, times=2)
            case _:
                self._say(said)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a test's output is its own."""

    def _say(self, said: Said, times: int = 1) -> None:
        body = b"" if said.body is None else json.dumps(said.body).encode()
        self._write(said.status, body, {"Content-Type": "application/json"} | said.headers, times)

    def _write(self, status: int, body: bytes, headers: dict[str, str], times: int = 1) -> None:
        lines = [f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in headers.items())]
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode()
        self.wfile.write((head + body) * times)

    def _reset(self) -> None:
        # Linger of zero: the kernel answers with a reset, not with a goodbye.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
