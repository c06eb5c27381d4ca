"""The parser in warm child processes: a mail that crashes it, hangs it or exhausts its memory does not affect other mails.

A process is started when it is first needed and answers mail after mail; a dead one is replaced. Raw bytes go over a socket
straight into the buffer that is parsed, and attachments come back the same way, without another copy on either side. The
process inherits no secrets, and writes nothing to the log: a traceback may quote a mail.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import dataclass

from mailroom.adapters.parser.child import LENGTH
from mailroom.domain.errors import Quarantined, Reason, TransientError
from mailroom.domain.parsing.model import ParsedEmail
from mailroom.domain.parsing.record import from_record

_PARSER = "mailroom.domain.parsing:parse_email"
#: The environment variables that the process inherits; no credentials.
_INHERITED = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LANG")
_START_S = 30.0
_DYING_S = 5.0
_CAUSES = {"MemoryError": "memory"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits for one mail: memory above that of an idle process, CPU time, and elapsed time."""

    memory_bytes: int = 512 * 1024 * 1024
    cpu_s: int = 10
    wall_s: float = 30.0


class ParserProcess:
    """A `Parser` that parses in up to `processes` processes at a time; further callers wait."""

    def __init__(self, *, processes: int = 2, bounds: Bounds | None = None, function: str = _PARSER) -> None:
        """Set the limits; no process is started yet.

        Args:
            processes: How many mails may be parsed at a time.
            bounds: The limits for each mail.
            function: The parser, as `package.module:name`; tests pass one that misbehaves.
        """
        self._bounds, self._function = bounds or Bounds(), function
        self._slots = threading.BoundedSemaphore(processes)
        self._idle: list[_Child] = []
        weakref.finalize(self, _end_all, self._idle)

    def parse(self, raw: bytes) -> ParsedEmail:
        """Return the parsed mail.

        Raises:
            Quarantined: `unparsable`; its fact `cause` is `time`, `memory`, `crash`, `answer` or an exception's name.
            TransientError: no process could be started.
        """
        with self._slots:
            try:
                return self._parse_once(raw)
            except _KilledError:
                # Perhaps not because of this mail: short of memory, the kernel kills any process. A second try decides.
                pass
            try:
                return self._parse_once(raw)
            except _KilledError:
                raise Quarantined(Reason.UNPARSABLE, cause="crash", signal=int(signal.SIGKILL)) from None

    def close(self) -> None:
        """End the idle processes."""
        _end_all(self._idle)

    def _parse_once(self, raw: bytes) -> ParsedEmail:
        child = self._take()
        try:
            parsed = child.parse(raw, wall_s=self._bounds.wall_s)
        except BaseException:
            child.end()
            raise
        self._idle.append(child)
        return parsed

    def _take(self) -> "_Child":
        """Return a running process: an idle one, or a new one."""
        while True:
            try:
                child = self._idle.pop()
            except IndexError:
                return _start(self._function, self._bounds)
            if child.is_alive:
                return child
            child.end()


class _KilledError(Exception):
    """The process was ended by SIGKILL, and not by us."""


class _Child:
    """One process, and our end of its socket."""

    def __init__(self, process: subprocess.Popen[bytes], line: socket.socket) -> None:
        self._process, self._line = process, line
        self._answers = line.makefile("rb")

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def greeted(self) -> bool:
        """Return whether the process reported that it is ready."""
        try:
            self._line.settimeout(_START_S)
            return len(self._answers.read(LENGTH.size)) == LENGTH.size
        except OSError:
            return False

    def parse(self, raw: bytes, *, wall_s: float) -> ParsedEmail:
        """Send `raw` to the process and return its answer.

        Raises:
            Quarantined: as `ParserProcess.parse`.
            _KilledError: the process was killed.
        """
        deadline = time.monotonic() + wall_s
        try:
            self._line.settimeout(wall_s)
            self._line.sendall(LENGTH.pack(len(raw)))
            self._line.sendall(raw)
            record = json.loads(self._read(LENGTH.unpack(self._read(LENGTH.size, deadline))[0], deadline))
            if "error" in record:
                raise Quarantined(Reason.UNPARSABLE, cause=_CAUSES.get(record["error"], record["error"]))
            sizes = [attachment["size"] for attachment in record["attachments"]]
            return from_record(record, [self._read(size, deadline) for size in sizes])
        except TimeoutError:
            raise Quarantined(Reason.UNPARSABLE, cause="time") from None
        except OSError:
            raise self._death() from None
        except (ValueError, LookupError, TypeError):
            raise Quarantined(Reason.UNPARSABLE, cause="answer") from None

    def end(self) -> None:
        """Close the socket, kill the process and wait for its end."""
        self._answers.close()
        self._line.close()
        self._process.kill()
        self._process.wait()

    def _read(self, size: int, deadline: float) -> bytes:
        self._line.settimeout(max(0.001, deadline - time.monotonic()))
        data = self._answers.read(size)
        if len(data) < size:
            raise ConnectionError
        return data

    def _death(self) -> Exception:
        """Return the error for a dead process: by its CPU time, a signal, or an exit in the middle of an answer."""
        self._line.close()
        try:
            code = self._process.wait(timeout=_DYING_S)
        except subprocess.TimeoutExpired:
            return Quarantined(Reason.UNPARSABLE, cause="time")
        if code == -signal.SIGKILL:
            return _KilledError()
        if code == -signal.SIGXCPU:
            return Quarantined(Reason.UNPARSABLE, cause="time")
        return Quarantined(Reason.UNPARSABLE, cause="crash", signal=max(0, -code))


def _start(function: str, bounds: Bounds) -> _Child:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "mailroom.adapters.parser.child", str(theirs.fileno()), function]
    with theirs:
        process = subprocess.Popen(
            [*command, str(bounds.memory_bytes), str(bounds.cpu_s)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _INHERITED if name in os.environ},
        )
    child = _Child(process, ours)
    if child.greeted():
        return child
    child.end()
    raise TransientError("the parser's process did not start")


def _end_all(children: list[_Child]) -> None:
    while children:
        children.pop().end()
