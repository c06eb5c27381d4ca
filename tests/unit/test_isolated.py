"""The limits of the process in which a dangerous mail runs."""

import os
import subprocess
import sys

import pytest

LIMITED = """
import os
from deployments.worker.isolated import limit
limit(os.getppid(), memory_bytes=900 * 1024**2, cpu_s=2)
{code}
"""


def ends_with(code: str) -> int:
    """Return the exit code of a limited process that runs `code`."""
    return subprocess.run([sys.executable, "-c", LIMITED.format(code=code)], check=False, timeout=60).returncode


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("print(end='')", 0),
        ("while True: pass", -24),  # SIGXCPU
        ("try:\n    bytearray(2 * 1024**3)\nexcept MemoryError:\n    os._exit(70)", 70),
    ],
    ids=["in its limits", "too much CPU", "too much memory"],
)
def test_a_process_ends_at_its_limits(code: str, ending: int) -> None:
    """An isolated mail may not take memory or CPU time from other mails."""
    assert ends_with(code) == ending


def test_a_process_whose_worker_is_gone_does_not_begin() -> None:
    """It would process a mail under a lease without heartbeats."""
    code = "from deployments.worker.isolated import limit; limit(1)"

    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)

    assert os.getpid() != 1
    assert ended.returncode == 1
    assert "has exited" in ended.stderr
