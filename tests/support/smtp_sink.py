"""Debian's `smtp-sink`, of the author of Postfix: a receiving server that shares no code with ours."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mailroom.sandbox.stand_ins.receiver import Receiver, receiving
from tests.support.loopback_ports import free_port
from tests.support.patience import PATIENCE_S

_OURS = re.compile(rb"X-Correlation-ID: (\S+)")
#: The last words of a mail that is to be counted. Without them it was cut off, and is not accepted.
END = "-- the end"

_UNPACKED = Path(__file__).parents[2] / ".cache" / "postfix"

#: Its path, or `None`. `tests/debian.sh` installs it.
SMTP_SINK = shutil.which("smtp-sink", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", str(_UNPACKED)]))


@contextmanager
def smtp_sink(*options: str) -> Iterator[int]:
    """Run one with these options. Yields its port."""
    if SMTP_SINK is None:
        raise LookupError("smtp-sink is not here: `make debian` unpacks it, `apt-get install postfix` installs it")
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [SMTP_SINK, *user, *options, f"127.0.0.1:{port}", "100"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("smtp-sink did not start")
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@contextmanager
def counting_sink() -> Iterator[tuple[int, Callable[[], list[str]]]]:
    """Run one that writes mails to files. Yields its port, and what returns our id of each mail that it has accepted."""
    # Not below the test's own folder: the sink drops root, and only root may enter there.
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    try:
        with smtp_sink("-d", f"{folder}/%s.") as port:
            yield port, lambda: list(_dumped(folder))
    finally:
        shutil.rmtree(folder)


@contextmanager
def counting_server() -> Iterator[tuple[int, Callable[[], list[str]]]]:
    """The same; without smtp-sink a server of ours, so that mails are always counted."""
    if SMTP_SINK is not None:
        with counting_sink() as sink:
            yield sink
        return
    receiver, port = Receiver(pipelining=True), free_port()
    with receiving(receiver, port=port):
        yield port, lambda: list(receiver.accepted)


def _dumped(folder: Path) -> Iterator[str]:
    for file in folder.iterdir():
        raw = file.read_bytes()
        if (ours := _OURS.search(raw)) and END.encode() in raw:
            yield ours.group(1).decode()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
