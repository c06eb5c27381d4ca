"""Connections over real sockets: a slow client delays no other, and a refused one can read the reason."""

import re
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest

from mailroom.api.app import create_app
from mailroom.api.bodies import BodyPace
from mailroom.api.connections import MOST_HEADER_BYTES, Connection, most_connections
from mailroom.ports.api_keys import Holder
from mailroom.testing.api import Memory
from tests.support.http_server import serving

HALF = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
KEY = b"Authorization: Bearer key\r\n"


class Hasty(Connection):
    """Production's connections with less patience."""

    headers_s = 0.5
    linger_s = 1.0
    unread_s = 0.5


@pytest.fixture
def memory() -> Memory:
    memory = Memory()
    memory.keys.holders["key"] = Holder("root")
    return memory


@pytest.fixture
def url(memory: Memory) -> Iterator[str]:
    with serving(create_app(memory.services(), pace=BodyPace(silence_s=0.5)), Hasty) as url:
        yield url


def connected(url: str) -> socket.socket:
    there = urlsplit(url)
    made = socket.create_connection((there.hostname, there.port), timeout=10)
    made.settimeout(10)
    return made


def heard(connection: socket.socket) -> bytes:
    """Return everything until the other side closes; a reset is an error."""
    pieces = list(iter(lambda: connection.recv(65_536), b""))
    return b"".join(pieces)


def status(answer: bytes) -> int:
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert found, answer[:100]
    return int(found[1])


@pytest.mark.parametrize(
    ("said", "answered"),
    [(HALF, 408), (b"", None), (WHOLE + HALF, 408), (WHOLE, None)],
    ids=["half", "nothing", "half of the second", "idle"],
)
def test_a_request_that_does_not_come_is_given_up(url: str, said: bytes, answered: int | None) -> None:
    """uvicorn waits for ever; a connection without a request is closed without a response."""
    began = time.monotonic()
    with connected(url) as connection:
        connection.sendall(said)

        answer = heard(connection)

    assert time.monotonic() - began < 8
    answer = answer.rpartition(b'{"status":"ok"}')[2]
    assert (status(answer) if answer else None) == answered


@pytest.mark.parametrize("drop", [b"a", b"\r\n", b"X: y\r\n"])
@pytest.mark.parametrize("before", [HALF, WHOLE, b""], ids=["first", "kept", "new"])
def test_a_request_that_trickles_is_given_up(url: str, before: bytes, drop: bytes) -> None:
    """Any byte once reset the idle timer, so one every four seconds held a connection for ever."""
    began = time.monotonic()
    with connected(url) as connection:
        connection.sendall(before)
        try:
            while time.monotonic() - began < 8:
                connection.sendall(drop)
                time.sleep(0.05)
        except OSError:
            pass

    assert time.monotonic() - began < 7


@pytest.mark.parametrize("size", [1, 1_000], ids=["one header", "many"])
def test_headers_have_an_end(url: str, size: int) -> None:
    """The parser accepts and keeps any number of headers of any length."""
    with connected(url) as connection:
        connection.sendall(HALF)
        piece = b"a" * 16_000 if size == 1 else b"\r\n".join([b"X-A: " + b"a" * size] * 16) + b"\r\n"
        for _ in range(MOST_HEADER_BYTES // 16_000 + 2):
            connection.sendall(piece)
            time.sleep(0.01)

        assert status(heard(connection)) == 431


def test_500_slow_connections_keep_nobody_waiting(url: str) -> None:
    """Half of them stop in the headers, half in a body that is read; a server without threads for them goes on."""
    with ExitStack() as stack:
        for at in range(500):
            slow = stack.enter_context(connected(url))
            slow.sendall(HALF if at % 2 else b"POST /hooks/inbound HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n{")
        began = time.monotonic()

        assert httpx.get(f"{url}/healthz").status_code == 200
        assert httpx.get(f"{url}/v1/inbound", headers={"Authorization": "Bearer key"}).status_code == 200

        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "slow",
    [HALF, b"", WHOLE, b"POST /hooks/inbound HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n{"],
    ids=["headers", "nothing", "idle", "body"],
)
def test_over_the_limit_the_slowest_is_closed(memory: Memory, slow: bytes) -> None:
    """A limit that refused new connections would let forty slow ones block all others."""

    class Few(Connection):
        most = 20

    with serving(create_app(memory.services()), Few) as url, ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(connected(url)).sendall(slow)

        assert [httpx.get(f"{url}/healthz").status_code for _ in range(5)] == [200] * 5


def test_a_request_in_progress_is_not_closed(memory: Memory) -> None:
    """A client whose request is whole waits for us, and must get its answer."""

    class Few(Connection):
        most = 3

    with serving(create_app(memory.services()), Few) as url, ExitStack() as stack, connected(url) as whole:
        whole.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        for _ in range(10):
            stack.enter_context(connected(url)).sendall(HALF)

        assert status(heard(whole)) == 200


def test_the_bound_leaves_files_for_the_rest() -> None:
    """Without a free file the process can neither ask its database nor take a connection."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(files, 600), most))

        assert most_connections() == 400
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))


@pytest.mark.parametrize(
    ("head", "refused"),
    [
        (b"POST /v1/batches HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\n\r\n", 401),
        (b"POST /v1/batches HTTP/1.1\r\nHost: x\r\n" + KEY + b"Content-Length: 60000000\r\n\r\n", 413),
        (b"DELETE /v1/senders HTTP/1.1\r\nHost: x\r\n" + KEY + b"Content-Length: 60000000\r\n\r\n", 413),
        (b"POST /hooks/ses HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\n\r\n", 413),
        (b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\n\r\n", 413),
        (b"POST /v1/batches?x=y HTTP/1.1\r\nHost: x\r\n" + KEY + b"Content-Length: 40000000\r\n\r\n", 422),
    ],
)
def test_a_refused_client_can_read_the_reason(url: str, head: bytes, refused: int) -> None:
    """A client that still sent was once reset, and reported a broken connection."""
    with connected(url) as connection:
        connection.sendall(head)
        for _ in range(60):
            connection.sendall(b" " * 500_000)

        answer = heard(connection)

    assert status(answer) == refused
    assert b"connection: close" in answer.lower()
    assert b"application/problem+json" in answer


def test_a_client_that_never_stops_sending_is_closed(url: str) -> None:
    """The rest of a body is discarded for a moment and not for ever."""
    began = time.monotonic()
    with connected(url) as connection:
        connection.sendall(b"POST /v1/batches HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000000\r\n\r\n")
        try:
            while time.monotonic() - began < 8:
                connection.sendall(b" " * 1_000)
                time.sleep(0.01)
        except OSError:
            pass

    assert time.monotonic() - began < 5


def test_a_large_body_is_refused_before_it_is_asked_for(url: str) -> None:
    """Clients that wait for 100 Continue never send what is not taken."""
    head = (
        b"POST /v1/batches HTTP/1.1\r\nHost: x\r\n" + KEY + b"Content-Length: 60000000\r\nExpect: 100-continue\r\n\r\n"
    )
    with connected(url) as connection:
        connection.sendall(head)
        began = time.monotonic()
        answer = connection.recv(65_536)

    assert status(answer) == 413
    assert time.monotonic() - began < 3


def test_a_slow_body_is_answered_408(url: str) -> None:
    """The client learns what was wrong, and the connection is free."""
    with connected(url) as connection:
        connection.sendall(b"POST /hooks/inbound HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n{")

        answer = heard(connection)

    assert status(answer) == 408
    assert b"application/problem+json" in answer


def test_an_ordinary_client_keeps_its_connection(url: str) -> None:
    """Small requests, refused ones too, follow each other over one connection."""
    with connected(url) as connection:
        for at in range(6):
            body = b'{"addresses": []}'
            key = KEY if at % 2 else b""
            head = b"POST /v1/suppressions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            connection.sendall(head + key + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            answer = connection.recv(65_536)

            assert status(answer) in (401, 404, 422)
            assert b"connection: close" not in answer.lower()


def test_an_upgrade_to_websockets_is_an_ordinary_request(url: str) -> None:
    """There are no WebSockets; a handshake would escape these limits."""
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n"
    with connected(url) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + upgrade + b"\r\n")

        assert status(connection.recv(65_536)) == 200
