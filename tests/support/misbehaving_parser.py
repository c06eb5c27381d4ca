"""A parser with the fault that the mail's first line names: crashes, hangs and others that a real one may have."""

import os
import signal
import time
from pathlib import Path

from mailroom.domain.parsing import ParsedEmail, parse_email

_kept: list[bytearray] = []


def parse(raw: bytes) -> ParsedEmail:
    """Misbehave as the first line says; read every other mail as usual."""
    order, _, rest = raw.partition(b"\n")
    if order == b"raise":
        raise RuntimeError("a fault")
    if order == b"hang":
        time.sleep(60)
    if order == b"spin":
        while True:
            pass
    if order == b"eat memory":
        while True:
            _kept.append(bytearray(16 * 1024 * 1024))
    if order == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if order == b"exit":
        os._exit(3)
    if order == b"be killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if order.startswith(b"be killed once "):
        _be_killed_once(order.removeprefix(b"be killed once "))
        return parse_email(rest)
    if order.startswith(b"wait for "):
        _wait_for(Path(os.fsdecode(order.removeprefix(b"wait for "))))
        return parse_email(rest)
    if order == b"show environment":
        return ParsedEmail(text="\n".join(sorted(os.environ)))
    return parse_email(raw)


def _wait_for(mark: Path) -> None:
    while not mark.exists():
        time.sleep(0.01)


def _be_killed_once(mark: bytes) -> None:
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
