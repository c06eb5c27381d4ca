"""The port `Scanner`: the in-memory double, clamd's protocol from a stub (and from clamd where it is installed)."""

import shutil
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailroom.adapters.clamav import ClamdScanner
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.filing_policy import Finding, Scan
from mailroom.ports.scanner import Scanner
from mailroom.testing.scanner import EICAR, MemoryScanner

MOST_BYTES = 1024 * 1024


@dataclass
class Daemon:
    """The stub's responses, and the commands that it received."""

    version: str = ""
    answer: bytes | None = None
    silent: bool = False
    asked: list[bytes] = field(default_factory=list)


class _Connection(socketserver.StreamRequestHandler):
    """One connection, as clamd(8) describes it: a command that ends in NUL, then chunks with their lengths."""

    def handle(self) -> None:
        daemon: Daemon = self.server.daemon  # type: ignore[attr-defined]
        command = b""
        while not command.endswith(b"\0"):
            command += self.rfile.read(1)
        daemon.asked.append(command)
        if command == b"zVERSION\0":
            self.wfile.write(daemon.version.encode() + b"\0")
        elif command == b"zINSTREAM\0":
            self._scan(daemon)

    def _scan(self, daemon: Daemon) -> None:
        content = b""
        while size := int.from_bytes(self.rfile.read(4), "big"):
            content += self.rfile.read(size)
            if len(content) > MOST_BYTES:
                self.wfile.write(b"INSTREAM size limit exceeded. ERROR\0")
                return
        if daemon.silent:
            time.sleep(1)
            return
        found = b"stream: Eicar-Test-Signature FOUND\0" if EICAR in content else b"stream: OK\0"
        self.wfile.write(found if daemon.answer is None else daemon.answer)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def version(day: datetime) -> str:
    return f"ClamAV 1.4.6/27800/{day:%a %b %d %H:%M:%S %Y}"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    output = Daemon(version=version(datetime.now(UTC)))
    with _Server(str(tmp_path / "clamd"), _Connection) as server:
        server.daemon = output  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield output
        server.shutdown()


@dataclass(frozen=True)
class Case:
    """A scanner, and how to make it fail."""

    scanner: Scanner
    fail: Callable[[], None]
    grow_old: Callable[[], None]


def _memory() -> Case:
    scanner = MemoryScanner(most_bytes=MOST_BYTES)
    return Case(
        scanner,
        fail=lambda: setattr(scanner, "down", True),
        grow_old=lambda: setattr(scanner, "signatures_of", datetime.now(UTC) - timedelta(days=8)),
    )


@pytest.fixture(params=["memory", "clamd"])
def case(request: pytest.FixtureRequest, daemon: Daemon, tmp_path: Path) -> Case:
    if request.param == "memory":
        return _memory()
    return Case(
        ClamdScanner(f"unix:{tmp_path / 'clamd'}"),
        fail=lambda: (tmp_path / "clamd").unlink(),
        grow_old=lambda: setattr(daemon, "version", version(datetime.now(UTC) - timedelta(days=8))),
    )


def test_clean_mail_is_clean(case: Case) -> None:
    """With the engine and the date of its signatures, which is what clean means."""
    found = case.scanner.scan(b"Subject: hello\r\n\r\nhello")

    assert (found.finding, found.why) == (Finding.CLEAN, None)
    assert found.engine
    assert found.signatures_of is not None


@pytest.mark.parametrize("size", [0, 1, 700_000])
def test_test_file_is_found(case: Case, size: int) -> None:
    """At any position, also in a mail of several chunks."""
    found = case.scanner.scan(b"x" * size + EICAR)

    assert (found.finding, found.why) == (Finding.INFECTED, "Eicar-Test-Signature")


def test_scanner_that_is_away_has_scanned_nothing(case: Case) -> None:
    """A daemon that restarts must not let a virus through as clean."""
    case.fail()

    found = case.scanner.scan(EICAR)

    assert (found.finding, found.why) == (Finding.UNSCANNED, "down")


def test_old_signatures_scan_nothing(case: Case) -> None:
    """A virus of last week is unknown to signatures of the week before."""
    case.grow_old()

    found = case.scanner.scan(b"hello")

    assert (found.finding, found.why) == (Finding.UNSCANNED, "stale")


def test_mail_over_the_scanners_limit_is_not_scanned(case: Case) -> None:
    """A large mail is no way around the scanner."""
    found = case.scanner.scan(b"x" * (MOST_BYTES + 1) + EICAR)

    assert (found.finding, found.why) == (Finding.UNSCANNED, "too_large")


@pytest.mark.parametrize(
    "answer",
    [b"", b"\0", b"stream: OK OK\0", b"OK\0", b"stream: Can't allocate memory ERROR\0", b"\xff\xfe\0", b"x" * 100_000],
)
def test_malformed_response_is_never_clean(daemon: Daemon, tmp_path: Path, answer: bytes) -> None:
    """Half a response, an error, or another program behind the socket."""
    daemon.answer = answer

    assert ClamdScanner(f"unix:{tmp_path / 'clamd'}").scan(b"hello").finding is Finding.UNSCANNED


@pytest.mark.parametrize("version_line", ["", "ClamAV 1.4.6", "ClamAV 1.4.6/27800/yesterday", "nginx"])
def test_signatures_without_a_known_date_are_old(daemon: Daemon, tmp_path: Path, version_line: str) -> None:
    """A daemon that started without its signatures answers OK to everything."""
    daemon.version = version_line

    found = ClamdScanner(f"unix:{tmp_path / 'clamd'}").scan(b"hello")

    assert (found.finding, found.why) == (Finding.UNSCANNED, "stale")
    assert b"zINSTREAM\0" not in daemon.asked


def test_scanner_that_does_not_answer_in_time_has_scanned_nothing(daemon: Daemon, tmp_path: Path) -> None:
    """A mail made to be slow to scan must not hold a worker."""
    daemon.silent = True

    found = ClamdScanner(f"unix:{tmp_path / 'clamd'}", timeout_s=0.1).scan(b"hello")

    assert (found.finding, found.why) == (Finding.UNSCANNED, "timeout")


@pytest.mark.parametrize("signature", ["Heuristics.Limits.Exceeded.MaxRecursion", "Heuristics.Encrypted.Zip"])
def test_content_that_the_daemon_could_not_open_is_not_scanned(daemon: Daemon, tmp_path: Path, signature: str) -> None:
    """A zip bomb or an encrypted archive is no proven virus, and is not clean."""
    daemon.answer = f"stream: {signature} FOUND\0".encode()

    found = ClamdScanner(f"unix:{tmp_path / 'clamd'}").scan(b"hello")

    assert found.finding is Finding.UNSCANNED


@pytest.mark.parametrize("address", ["", "clamd", "unix:relative", "tcp:host", "tcp::3310", "http://host:1"])
def test_address_of_no_known_kind_is_a_fault_of_the_set_up(address: str) -> None:
    """A misspelt scanner address must not look like a scanner that is merely away."""
    with pytest.raises(ConfigurationError):
        ClamdScanner(address)


@pytest.fixture
def real(tmp_path: Path) -> Iterator[ClamdScanner]:
    """A clamd with one signature: the test file's."""
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "test.ndb").write_text(f"Eicar-Test-Signature:0:*:{EICAR.hex()}\n")
    config = tmp_path / "clamd.conf"
    lines = [f"DatabaseDirectory {tmp_path / 'db'}", f"LocalSocket {tmp_path / 'real'}", "Foreground yes"]
    config.write_text("\n".join([*lines, "StreamMaxLength 1M", ""]))
    clamd = subprocess.Popen(
        ["clamd", "--config-file", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "real").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        yield FreshScanner(f"unix:{tmp_path / 'real'}")
    finally:
        clamd.terminate()
        clamd.wait()


class FreshScanner(ClamdScanner):
    """Treats the daemon's signatures as today's: a database with one own signature has no date."""

    def _version(self) -> tuple[str, datetime | None]:
        return super()._version()[0], datetime.now(UTC)


@pytest.mark.skipif(shutil.which("clamd") is None, reason="ClamAV is not installed; the stub speaks its protocol")
def test_clamd_itself_answers_the_same(real: ClamdScanner) -> None:
    """The stub was written after the manual; this is the daemon."""
    engine = real.scan(b"hello").engine
    today = datetime.now(UTC).date()

    found = [real.scan(content) for content in (b"hello", b"x" * 700_000 + EICAR, b"x" * (MOST_BYTES + 1))]

    assert [(one.finding, one.why) for one in found[:1]] == [(Finding.CLEAN, None)]
    assert found[1].finding is Finding.INFECTED
    assert found[1].why is not None
    assert found[1].why.startswith("Eicar-Test-Signature")
    assert (found[2].finding, found[2].why) == (Finding.UNSCANNED, "too_large")
    assert engine.startswith("ClamAV 1.")
    assert isinstance(found[0], Scan)
    assert found[0].signatures_of is not None
    assert found[0].signatures_of.date() >= today
