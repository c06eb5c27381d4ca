"""The data folder: the files that the embedded stack keeps between starts, and their permissions.

    mailroom.lock    locked (flock) by the supervisor; contains its process id
    ports.json       the ports of the last start
    secrets/         the password of PostgreSQL, the admin key of the API; mode 0600
    run.json         the processes of this start; gone after a clean stop
    stack.json       all services (`mailroom status --json`); gone after a clean stop
    aws.json         the names of resources that this start created in the AWS emulator
    logs/            one file for each part, and the one before it as `.1`
    postgres/ socket/ prefect/ and one folder for each part that wants one

Everything else in the folder is not ours: `wipe` leaves it alone.
"""

import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mailroom.sandbox.errors import StackError
from mailroom.sandbox.stack.processes import ProcessId

_OURS = (
    *("postgres", "postgres.new", "socket", "prefect", "logs", "secrets", "aws", "worker", "api", "door"),
    *(
        "ports.json",
        "run.json",
        "stack.json",
        "aws.json",
        "worker.ready",
        "worker.gate",
        "deployments.gate",
        "foreign.json",
        "mailroom.lock",
    ),
)


class HeldError(Exception):
    """Another process holds the folder: `holder` is its supervisor, as far as it can be known."""

    def __init__(self, holder: ProcessId | None) -> None:
        super().__init__("the data folder is in use")
        self.holder = holder


class DataFolder:
    """One data folder; created on first use, readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.logs = path / "logs"
        self.run_file = path / "run.json"
        self.stack_file = path / "stack.json"
        self.aws_file = path / "aws.json"
        self._lock_file = path / "mailroom.lock"

    def make(self) -> None:
        """Create the folder if it is missing, and remember what was in it before.

        Raises:
            StackError: it cannot be made.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StackError(f"{self.path} cannot be the data folder: {error.strerror}") from None
        foreign = self.path / "foreign.json"
        if not foreign.exists():
            write_json(foreign, sorted(entry.name for entry in self.path.iterdir()))
        self.logs.mkdir(mode=0o700, exist_ok=True)

    def secret(self, name: str) -> str:
        """Return the secret stored under `name`, generated on first use: 43 URL-safe characters."""
        file = self.path / "secrets" / name
        if not file.exists():
            file.parent.mkdir(mode=0o700, exist_ok=True)
            write_private(file, secrets.token_urlsafe(32))
        return file.read_text()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the folder for this process; the lock ends with the process, however it ends.

        Raises:
            HeldError: another process has locked it.
        """
        with self._lock_file.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise HeldError(self.holder()) from None
            lock.truncate(0)
            lock.write(json.dumps(ProcessId.of(os.getpid()).as_json()))
            lock.flush()
            try:
                yield
            finally:
                lock.truncate(0)

    def holder(self) -> ProcessId | None:
        """Return the supervisor that runs on this folder, or None when none does."""
        written = read_json(self._lock_file)
        is_whole = isinstance(written, dict) and {"pid", "started"} <= set(written)
        holder = ProcessId.from_json(written) if is_whole else None
        return holder if holder and holder.is_alive() else None

    def run(self) -> dict[str, Any] | None:
        """Return the process list of the last supervisor, or None if there is none or it is incomplete."""
        written = read_json(self.run_file)
        whole = isinstance(written, dict) and {"word", "parts"} <= set(written)
        return written if whole else None

    def wipe(self) -> None:
        """Delete the stack's files, and the folder itself if nothing else is in it."""
        foreign = read_json(self.path / "foreign.json") or []
        for name in _OURS:
            entry = self.path / name
            if name in foreign:
                continue
            if name == "socket" and entry.is_symlink():
                # A link to our temporary folder, where this one's path is too long for a socket.
                shutil.rmtree(entry.resolve(), ignore_errors=True)
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()


def write_private(file: Path, text: str) -> None:
    """Write `file` atomically, readable by its owner only: a reader sees the old text or the new, never a part."""
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w") as handle:
            handle.write(text)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(file: Path, value: Any) -> None:
    """Write `value` to `file` atomically, readable by its owner only."""
    write_private(file, json.dumps(value, indent=1) + "\n")


def read_json(file: Path) -> Any:
    """Return the value in `file`, or None if it is missing or not (yet) JSON."""
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
