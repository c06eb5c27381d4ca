"""Debian's `smtp-sink`, of the author of Postfix: a receiving end that shares nothing with ours."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.loopback import free_port

_UNPACKED = Path(__file__).parent.parent / ".cache" / "postfix"

#: Where it is, or `None`. `tests/debian.sh` brings it.
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
        deadline = time.monotonic() + 30
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("smtp-sink did not start")
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
