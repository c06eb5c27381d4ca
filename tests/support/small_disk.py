"""PostgreSQL on a small disk, which a test fills and frees: `python -m tests.support.small_disk FOLDER PORT`.

The disk is a tmpfs that only this process and its server see. Where the kernel does not let this user mount one, there is none.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mailroom.sandbox.stack.postgres import running_postgres
from tests.support.loopback_ports import free_port

#: A cluster with our schema and its log of changes takes 110 MB.
_SIZE = "200m"
_PASSWORD = "for-tests-only"

_MOUNT = f'mount -t tmpfs -o size={_SIZE},mode=755 tmpfs "$0" && exec "$@"'


class SmallDisk:
    """The disk, seen from the test."""

    def __init__(self, commands: IO[str], answers: IO[str], url: str) -> None:
        self._commands, self._answers = commands, answers
        self.url = url

    def fill(self) -> None:
        """Leave no byte free."""
        self._do("fill")

    def make_room(self) -> None:
        """Free what `fill` took."""
        self._do("make room")

    def _do(self, what: str) -> None:
        self._commands.write(f"{what}\n")
        self._commands.flush()
        assert self._answers.readline() == f"{what}\n"


def is_permitted() -> bool:
    """Return whether this user may mount a private disk without becoming another user."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    trying = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(trying, capture_output=True, check=False).returncode == 0


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """Run a server on a small disk mounted at `folder` for the length of a block."""
    port = free_port()
    serve = [sys.executable, "-m", "tests.support.small_disk", str(folder), str(port)]
    command = ["unshare", "--mount", "sh", "-c", _MOUNT, str(folder), *serve]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        assert url.startswith("postgresql://"), "the server on the small disk did not start"
        yield SmallDisk(server.stdin, server.stdout, url)
        server.stdin.close()


def main(folder: Path, port: int) -> None:
    """Serve, and obey the commands on standard input until it ends."""
    filler = folder / "filler"
    with running_postgres(folder, port=port, password=_PASSWORD) as server:
        print(server.url("mailroom"), flush=True)
        for line in sys.stdin:
            if line == "fill\n":
                _fill(filler)
            else:
                filler.unlink()
            print(line, end="", flush=True)


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        for piece in (1 << 20, 1):
            try:
                while True:
                    file.write(bytes(piece))
            except OSError:
                continue


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
