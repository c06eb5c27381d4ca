"""A provider's calls in processes of their own, so that a large batch uses more than one core: one interpreter runs one thread at a time.

    sender thread ── mails, pickled ──> a thread of the process ── provider.send ──> provider
                  <── results ────────

A process is started when many mails are sent within a second, and ends after minutes without any; until it is ready, and
where it cannot be used, the calls are made here. Each call has a connection of its own, which is kept for the next one.

A process that dies takes the outcome of its calls with it: those mails are `OutcomeUnknown`, as after the death of a worker.
It dies with its worker: the kernel kills it, and it ends where the connection to the worker closes.
"""

import io
import logging
import os
import pickle
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from copyreg import dispatch_table
from datetime import datetime
from multiprocessing.connection import Connection
from types import MappingProxyType
from typing import Any

from mailroom.domain.errors import MailroomError, OutcomeUnknown
from mailroom.domain.outbound.message import Outgoing
from mailroom.ports.provider import MailProvider, ProviderQuota, ProviderReceipt

log = logging.getLogger(__name__)

#: Opens the same provider in another process; it is pickled.
Recipe = Callable[[], MailProvider]

#: Mails within a second from which a process is worth its memory.
_BUSY_FROM = 150
#: A request with more bytes is not copied to another process.
_MOST_BYTES = 8 << 20
_START_S = 60.0
#: Seconds without a call after which a process ends, and how often that is checked.
_IDLE_S, _LOOK_S = 300.0, 15.0
#: How long no process is started after one died, in seconds.
_REST_S = 10.0


class _Pickler(pickle.Pickler):
    dispatch_table = dispatch_table | {MappingProxyType: lambda values: (dict, (dict(values),))}


class ProviderProcesses:
    """The port `MailProvider` on `provider`, whose calls are made in up to `processes` processes that `recipe` opens it in."""

    def __init__(
        self,
        provider: MailProvider,
        recipe: Recipe,
        *,
        processes: int = 1,
        busy_from: int = _BUSY_FROM,
        idle_s: float = _IDLE_S,
    ) -> None:
        self.name, self.identity, self.capabilities = provider.name, provider.identity, provider.capabilities
        self._provider, self._recipe, self._processes = provider, recipe, processes
        self._busy_from, self._idle_s = busy_from, idle_s
        self._lock = threading.Lock()
        self._children: list[_Child] = []
        self._counted, self._since, self._rests_until = 0, 0.0, 0.0

    def send(self, mails: Sequence[Outgoing]) -> list[ProviderReceipt | MailroomError]:
        """Send the mails from a process if there is one, else from here."""
        child = self._child(len(mails))
        request = _pickled(mails) if child is not None else None
        if child is None or request is None or len(request) > _MOST_BYTES:
            return self._provider.send(mails)
        try:
            with child.using() as line:
                answer = line.call(request)
        except _NotSubmittedError:
            return self._provider.send(mails)
        except _LostError:
            log.error("a process of provider %s ended during a call", self.name)
            answer = "ProcessDied"
        if isinstance(answer, list):
            return answer
        lost = OutcomeUnknown("the call to the provider was interrupted", provider=self.name, kind=answer)
        return [lost] * len(mails)

    def quota(self) -> ProviderQuota:
        """Return the provider's."""
        return self._provider.quota()

    def ask(self, message_id: str, *, since: datetime) -> ProviderReceipt | None:
        """Return the provider's answer."""
        return self._provider.ask(message_id, since=since)

    def close(self) -> None:
        """End the processes and close the connections."""
        with self._lock:
            children, self._children = self._children, []
        for child in children:
            child.end()
        self._provider.close()

    def pids(self) -> list[int]:
        """Return the ids of the processes that are ready."""
        return [child.pid for child in self._children if child.is_ready]

    def _child(self, mails: int) -> "_Child | None":
        """Return the ready process with the fewest calls; start them if many mails are sent."""
        with self._lock:
            now = time.monotonic()
            if now - self._since >= 1.0:
                self._since, self._counted = now, 0
            self._counted += mails
            living = [child for child in self._children if not child.has_ended]
            if any(child.has_died for child in self._children):
                self._rests_until = now + _REST_S
            self._children = living
            if self._counted >= self._busy_from and now >= self._rests_until:
                missing = self._processes - len(living)
                living.extend(_Child(self._recipe, self.name, idle_s=self._idle_s) for _ in range(missing))
            ready = [child for child in living if child.is_ready]
        return min(ready, key=lambda child: child.calls, default=None)


class _NotSubmittedError(Exception):
    """The process did not receive the whole request, so it sent nothing."""


class _LostError(Exception):
    """The process ended after it received the request."""


class _Line:
    """One connection to a thread of the process: a request, then its answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def call(self, request: bytes) -> Any:
        """Return the answer: the results, or the name of an error."""
        try:
            self._connection.send_bytes(request)
        except OSError:
            raise _NotSubmittedError from None
        try:
            return pickle.loads(self._connection.recv_bytes())  # noqa: S301 - from our own process, by a private socket
        except (EOFError, OSError):
            raise _LostError from None

    def close(self) -> None:
        self._connection.close()


class _Using:
    """A block that uses a connection of a process, which is kept after it unless the block fails."""

    def __init__(self, child: "_Child") -> None:
        self._child = child

    def __enter__(self) -> _Line:
        self._line = self._child.take()
        return self._line

    def __exit__(self, kind: object, *_: object) -> None:
        self._child.keep(self._line, sound=kind is None)


class _Child:
    """A process, the thread that starts it and waits for its end, and the connections to it.

    The kernel kills the process with the thread that started it: the thread lives as long as the process.
    """

    def __init__(self, recipe: Recipe, name: str, *, idle_s: float) -> None:
        self._recipe, self._name, self._idle_s = recipe, name, idle_s
        self._lock = threading.Lock()
        self._idle: list[_Line] = []
        self._ours, self._theirs = socket.socketpair()
        self._used_at = time.monotonic()
        self._ending = False
        self.calls = self.pid = 0
        self.is_ready = self.has_ended = False
        threading.Thread(target=self._live, name=f"process-{name}", daemon=True).start()

    @property
    def has_died(self) -> bool:
        """Whether it ended although nobody ended it."""
        return self.has_ended and not self._ending

    def using(self) -> _Using:
        """Return a block that uses a connection."""
        return _Using(self)

    def take(self) -> _Line:
        """Return an idle connection, or a new one."""
        with self._lock:
            if self._ending or self.has_ended:
                raise _NotSubmittedError
            self.calls += 1
            if self._idle:
                return self._idle.pop()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._ours, [b"+"], [theirs.fileno()])
        except OSError:
            ours.close()
            with self._lock:
                self.calls -= 1
            raise _NotSubmittedError from None
        return _Line(Connection(ours.detach()))

    def keep(self, line: _Line, *, sound: bool) -> None:
        """Take a connection back."""
        with self._lock:
            self.calls -= 1
            self._used_at = time.monotonic()
            if sound and not self._ending:
                self._idle.append(line)
                return
        line.close()

    def end(self) -> None:
        """Let the process end after its calls, without waiting."""
        with self._lock:
            self._ending, self.is_ready = True, False
            idle, self._idle = self._idle, []
        for line in idle:
            line.close()
        if not self.calls:
            with suppress(OSError):
                self._ours.shutdown(socket.SHUT_WR)

    def _live(self) -> None:
        try:
            with self._theirs:
                process = _started(self._theirs)
        except OSError as error:
            log.warning("no process of provider %s can be started: %s", self._name, type(error).__name__)
            self.has_ended = True
            return
        self.pid = process.pid
        if _is_greeted(self._ours, self._recipe):
            log.info("provider %s is called from process %d", self._name, process.pid)
            with self._lock:
                self.is_ready = not self._ending
        else:
            process.kill()
        while not _is_closed(self._ours):
            if not self.calls and (self._ending or time.monotonic() - self._used_at > self._idle_s):
                self.end()
        self.is_ready, self.has_ended = False, True
        code = process.wait()
        if self.has_died:
            log.warning("process %d of provider %s ended: %s", process.pid, self._name, code)
        self.end()
        self._ours.close()


def _started(line: socket.socket) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "mailroom.adapters.providers.process_child", str(line.fileno()), str(os.getpid())]
    return subprocess.Popen(command, pass_fds=[line.fileno()], stdin=subprocess.DEVNULL)


def _is_greeted(line: socket.socket, recipe: Recipe) -> bool:
    """Send the recipe, and return whether the process opened the provider."""
    text = pickle.dumps(recipe)
    try:
        line.settimeout(_START_S)
        line.sendall(len(text).to_bytes(8, "big") + text)
        is_open = line.recv(1) == b"+"
        line.settimeout(None)
    except OSError:
        return False
    return is_open


def _is_closed(line: socket.socket) -> bool:
    """Wait a while for the process to close its end, which it does when it ends: it never writes there."""
    poll = select.poll()
    poll.register(line, select.POLLIN)
    return bool(poll.poll(1000 * _LOOK_S))


def _pickled(mails: Sequence[Outgoing]) -> bytes | None:
    """Return the mails for another process; None if they cannot be copied, or their files are large."""
    if sum(len(file.content) for mail in mails for file in mail.attachments) > _MOST_BYTES:
        return None
    text = io.BytesIO()
    try:
        _Pickler(text, pickle.HIGHEST_PROTOCOL).dump(list(mails))
    except Exception as error:  # noqa: BLE001 - pickling raises anything; the call is made here
        log.debug("mails cannot be copied to a process: %s", type(error).__name__)
        return None
    return text.getvalue()
