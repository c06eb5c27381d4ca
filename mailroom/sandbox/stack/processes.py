"""Processes: started so that they end with this process, and ended only if they are provably ours.

A process id alone proves nothing, for ids are used again. Proof is the id with its start time (both from /proc), or
the random word of this start in the process's environment. Linux only, like the rest of the embedded stack.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

#: Every process of one start has the same random value in this variable.
RUN_VARIABLE = "MAILROOM_STACK_RUN"

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_TAIL_LINES = 20
_TAIL_BYTES = 64 * 1024
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process, identified by id and start time: `started` is in clock ticks since boot, 0 if unknown."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "ProcessId":
        """Return the process that currently has this id."""
        return cls(pid, _stat(pid)[1])

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "ProcessId":
        """Return the process that `as_json` described; unknown keys are ignored."""
        return cls(int(value["pid"]), int(value["started"]))

    def as_json(self) -> dict[str, int]:
        """Return the fields as JSON values."""
        return asdict(self)

    def is_alive(self) -> bool:
        """Return whether this process still runs; an ended one that was not yet collected does not."""
        state, started = _stat(self.pid)
        return self.started > 0 and started == self.started and state != "Z"

    def signal(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send `number` to the process, or to the whole group that it leads, if it is still this process."""
        if self.is_alive():
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number) if group else os.kill(self.pid, number)


def _stat(pid: int) -> tuple[str, int]:
    """Return state letter and start time from /proc/PID/stat; the command in it may hold spaces and parentheses."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "", 0
    return fields[0], int(fields[19])


def start(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    folder: Path,
    log: Path,
    last_signal: signal.Signals,
    again: bool = False,
) -> subprocess.Popen[bytes]:
    """Start `argv` in a new session, writing to `log` (the previous log is kept as `.1`).

    Started `again` it goes on in the same log, so that this still says what the process before it died of.
    If this process dies without a word (SIGKILL), the kernel sends `last_signal` to the child. The kernel watches the
    thread that started the child, so call this from the main thread.
    """
    if log.exists() and not again:
        log.replace(log.with_name(f"{log.name}.1"))
    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            env=dict(env),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with(os.getpid(), last_signal),
        )


def _die_with(parent: int, last_signal: signal.Signals) -> Callable[[], None]:
    def prepare() -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        _libc.prctl(_PR_SET_PDEATHSIG, last_signal.value, 0, 0, 0)
        if os.getppid() != parent:
            # The parent died between the fork and the request; this child would never be ended.
            os._exit(1)

    return prepare


def has_exited(process: subprocess.Popen[bytes]) -> bool:
    """Return whether `process` ended, without collecting it: its id, and its group's, stays taken until `collect`."""
    if process.returncode is not None:
        return True
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def collect(process: subprocess.Popen[bytes]) -> int:
    """End the remaining processes of an exited process's group, and return its exit code (negative: the signal)."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


@contextmanager
def adopting() -> Iterator[set[int]]:
    """Make orphans of dead parts children of this process, so that they are found, ended and collected.

    Yields the children that exist already: they belong to other code. PostgreSQL's children can be identified only by
    their parent: each has a separate session, and overwrites its environment.
    """
    here = set(_children())
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield here
    finally:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def orphans(known: Collection[int]) -> list[ProcessId]:
    """Return the children of this process that are not in `known`; those that have ended are collected."""
    left = []
    for pid in _children():
        if pid not in known:
            with suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG) == (0, 0):
                    left.append(ProcessId.of(pid))
    return left


def collect_ended(known: Collection[int]) -> None:
    """Collect one adopted child that has ended, if there is one; those of `known` are collected elsewhere."""
    with suppress(ChildProcessError):
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        if ended is not None and ended.si_pid not in known:
            os.waitpid(ended.si_pid, 0)


def _children() -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                    yield int(entry.name)


def carriers(word: str) -> list[ProcessId]:
    """Return the processes whose start has this random `word`, descendants included."""
    wanted = f"{RUN_VARIABLE}={word}".encode()
    processes = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    processes.append(ProcessId.of(int(entry.name)))
    return [process for process in processes if process.is_alive()]


def ending(code: int) -> str:
    """Return a sentence on how a process ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was killed by {signal.Signals(-code).name}" if -code in set(signal.Signals) else f"was killed by {-code}"


def last_lines(log: Path) -> list[str]:
    """Return the end of a log, at most 20 lines."""
    with log.open("rb") as handle:
        handle.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        return handle.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]


if sys.platform != "linux":  # pragma: no cover
    raise ImportError("the embedded stack needs Linux")
