"""Benchmarks end every process that they have started."""

import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks import inbound
from mailroom.sandbox.stack.processes import ProcessId

#: Ignores SIGTERM, and starts another process like it, in a new session or not.
_STUBBORN = """
import pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
marker, apart, levels = pathlib.Path(sys.argv[1]), sys.argv[2] == "apart", int(sys.argv[3])
if levels:
    words = [sys.executable, "-c", sys.argv[4], str(marker), sys.argv[2], str(levels - 1), sys.argv[4]]
    child = subprocess.Popen(words, start_new_session=apart)
    marker.with_suffix(f".{levels}").write_text(str(child.pid))
else:
    marker.touch()
time.sleep(60)
"""


@pytest.mark.parametrize("session", ["same", "apart"])
def test_process_that_ignores_sigterm_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, session: str
) -> None:
    """A stock Prefect worker did not end, and the benchmark waited for ever; its runs are in other sessions."""
    monkeypatch.setattr(inbound, "_END_WITHIN_S", 0.2)
    output = tmp_path / "marker"
    command = [sys.executable, "-c", _STUBBORN, str(output), session, "2", _STUBBORN]

    with inbound.ending(command, env=dict(os.environ)):
        deadline = time.monotonic() + 30
        while not output.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        started = [ProcessId.of(int(file.read_text())) for file in tmp_path.glob("marker.*")]
        began = time.monotonic()

    while any(one.is_alive() for one in started) and time.monotonic() < began + 5:
        time.sleep(0.01)
    assert len(started) == 2
    assert not any(one.is_alive() for one in started)
