"""The base of stand-ins for providers' HTTP APIs: they respond as documented, misbehave on demand, and count mails.

Accepted mails are counted by our own id, from the field that each vendor returns: custom_args, Metadata, EmailTags. Their
refusals quote the recipient's address, as the real ones do, so that tests can prove that it goes no further.
"""

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

from mailroom.sandbox.stand_ins.behaviours import Behaviour

_ACCEPTS = frozenset(
    {Behaviour.GOOD, Behaviour.FAILS_AFTER, Behaviour.GARBAGE, Behaviour.TWICE, Behaviour.RESETS_AFTER, Behaviour.HANGS}
)


@dataclass(frozen=True, slots=True)
class VendorAnswer:
    """A response: status, JSON body, headers."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Vendor(ABC):
    """The base of all stand-ins: `behaviours` apply to the next requests, one each; later requests are accepted."""

    #: Arguments of its adapter, besides the URL.
    made_with: ClassVar[dict[str, str]] = {}
    #: Behaviours that this vendor cannot show, such as a daily quota that it does not have.
    without: ClassVar[frozenset[Behaviour]] = frozenset()

    #: Whether a refusal says that it is the recipient's; else what is refused is the mail.
    names_recipients: ClassVar[bool] = True

    #: Responses of the behaviours that accept nothing.
    refusals: ClassVar[dict[Behaviour, VendorAnswer]] = {}

    def __init__(self) -> None:
        self.behaviours: deque[Behaviour] = deque()
        self.requests = 0
        #: Our ids, in the order of acceptance: a mail accepted twice is here twice.
        self.accepted: list[str] = []
        #: The received payloads, as the vendor would read them.
        self.payloads: list[Any] = []
        self.released = threading.Event()
        self._lock = threading.Lock()

    def behaviour(self) -> Behaviour:
        """Return the behaviour for the current request."""
        with self._lock:
            self.requests += 1
            return self.behaviours.popleft() if self.behaviours else Behaviour.GOOD

    def answer(self, behaviour: Behaviour, payload: Any) -> VendorAnswer:
        """Accept or refuse the request, and return the response."""
        with self._lock:
            if behaviour not in _ACCEPTS:
                return self.refusals[behaviour]
            self.payloads.append(payload)
            return self.accept(payload)

    @abstractmethod
    def accept(self, payload: Any) -> VendorAnswer:
        """Count a request's mails and return the response."""

    def look(self, path: str, query: dict[str, list[str]]) -> VendorAnswer:
        """Respond to a query."""
        return VendorAnswer(404, {"message": "no such thing"})


@contextmanager
def serving(vendor: Vendor, *, port: int = 0) -> Iterator[str]:
    """Serve a stand-in on a loopback port, any free one if none is given, and yield its URL."""
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
        behaviour = self.vendor.behaviour()
        if behaviour is Behaviour.RESETS_BEFORE:
            self._reset()
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.vendor.answer(behaviour, json.loads(body))
        match behaviour:
            case Behaviour.RESETS_AFTER:
                self._reset()
            case Behaviour.HANGS:
                self.vendor.released.wait()
                self.close_connection = True
            case Behaviour.FAILS_AFTER:
                self._say(VendorAnswer(500, {"message": "internal error for bob@example.com"}))
            case Behaviour.GARBAGE:
                self._write(200, b"<html>it works", {"Content-Type": "text/html"})
            case Behaviour.TWICE:
                self._say(answer, times=2)
            case _:
                self._say(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing, to keep the output of tests clean."""

    def _say(self, answer: VendorAnswer, times: int = 1) -> None:
        body = b"" if answer.body is None else json.dumps(answer.body).encode()
        self._write(answer.status, body, {"Content-Type": "application/json"} | answer.headers, times)

    def _write(self, status: int, body: bytes, headers: dict[str, str], times: int = 1) -> None:
        lines = [f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in headers.items())]
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode()
        self.wfile.write((head + body) * times)

    def _reset(self) -> None:
        # Linger of zero: the kernel closes with a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
