"""Virus scans by ClamAV's daemon, over its socket.

One connection for each command: first the daemon's version with the day of its signatures, then the mail in chunks
(`INSTREAM`). After an answer outside the protocol, or a late one, the mail counts as not scanned.

Source: clamd(8), "COMMANDS" (ClamAV 1.4).
"""

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.filing_policy import Finding, Scan

STALE_AFTER = timedelta(days=7)

_CHUNK_BYTES = 256 * 1024
_MOST_ANSWER_BYTES = 4096
_VERSION = re.compile(r"ClamAV (?P<engine>[\w.+-]{1,40})(?:/(?P<number>\d+)/(?P<day>[\w: ]{1,40}))?")
_FOUND = re.compile(r"stream: (?P<signature>[\x21-\x7e]{1,200}) FOUND")


class ClamdScanner:
    """The port `Scanner` on clamd. `address` is `unix:/path` or `tcp:host:port`."""

    def __init__(self, address: str, *, now: Callable[[], datetime] | None = None, timeout_s: float = 30) -> None:
        kind, _, where = address.partition(":")
        host, _, port = where.rpartition(":")
        if kind == "unix" and where.startswith("/"):
            self._family, self._where = socket.AF_UNIX, where
        elif kind == "tcp" and host and port.isdecimal():
            self._family, self._where = socket.AF_INET, (host, int(port))  # type: ignore[assignment]
        else:
            raise ConfigurationError("invalid scanner; use unix:/path or tcp:host:port")
        self._now = now or (lambda: datetime.now(UTC))
        self._timeout_s = timeout_s

    def scan(self, content: bytes) -> Scan:
        """Return clamd's finding; `unscanned` when it is away, too slow, has old signatures or refuses the mail."""
        engine, signatures_of = "ClamAV", None
        try:
            engine, signatures_of = self._version()
            if signatures_of is None or self._now() - signatures_of > STALE_AFTER:
                return Scan(Finding.UNSCANNED, engine, "stale", signatures_of)
            finding, why = _read_answer(self._ask(b"zINSTREAM\0", content))
        except TimeoutError:
            return Scan(Finding.UNSCANNED, engine, "timeout", signatures_of)
        except OSError:
            return Scan(Finding.UNSCANNED, engine, "down", signatures_of)
        return Scan(finding, engine, why, signatures_of)

    def _version(self) -> tuple[str, datetime | None]:
        values = _VERSION.fullmatch(self._ask(b"zVERSION\0"))
        if values is None:
            return "ClamAV", None
        return f"ClamAV {values['engine']}" + (f"/{values['number']}" if values["number"] else ""), _day(values["day"])

    def _ask(self, command: bytes, content: bytes | None = None) -> str:
        with self._connected() as connection:
            connection.sendall(command)
            try:
                for chunk in _chunks(content) if content is not None else ():
                    connection.sendall(chunk)
            except (BrokenPipeError, ConnectionResetError):
                pass  # It sends its reason before it closes: the mail is over its limit.
            return _answer(connection)

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        with socket.socket(self._family, socket.SOCK_STREAM) as connection:
            connection.settimeout(self._timeout_s)
            connection.connect(self._where)
            yield connection


def _chunks(content: bytes) -> Iterator[bytes]:
    view = memoryview(content)
    for at in range(0, len(content), _CHUNK_BYTES):
        piece = view[at : at + _CHUNK_BYTES]
        yield len(piece).to_bytes(4, "big") + piece
    yield bytes(4)


def _answer(connection: socket.socket) -> str:
    answer = b""
    while not answer.endswith(b"\0") and len(answer) < _MOST_ANSWER_BYTES:
        piece = connection.recv(_MOST_ANSWER_BYTES)
        if not piece:
            break
        answer += piece
    return answer.rstrip(b"\0\n").decode("ascii", "replace")


def _read_answer(answer: str) -> tuple[Finding, str | None]:
    if answer == "stream: OK":
        return Finding.CLEAN, None
    match = _FOUND.fullmatch(answer)
    if match:
        # Content that clamd cannot open is reported like a virus with these names, if it is configured to report it.
        unscannable = match["signature"].startswith(("Heuristics.Limits.", "Heuristics.Encrypted."))
        return Finding.UNSCANNED if unscannable else Finding.INFECTED, match["signature"]
    return Finding.UNSCANNED, "too_large" if "size limit exceeded" in answer else "unreadable"


def _day(text: str | None) -> datetime | None:
    """Return the day of the signatures; clamd writes it as ctime does, in its own zone, which is read as UTC."""
    try:
        return datetime.strptime(text, "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC) if text else None
    except ValueError:
        return None
