"""Crash points: nothing in production, deadly in a drill."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mailroom import crash_points as crash

_PASS_TWICE = """
from mailroom import crash_points as crash
crash.arm("after put", nth=2)
crash.crash_point("before", "put")
crash.crash_point("after", "put")
print("once", flush=True)
crash.crash_point("after", "put")
print("survived", flush=True)
"""


def passed(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", _PASS_TWICE]
    clean = {name: value for name, value in os.environ.items() if name != crash.VARIABLE}
    return subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=False)


def test_without_the_variable_no_crash_point_does_anything() -> None:
    """A drill must not be able to end a worker that was started for real mail."""
    ended = passed({})

    assert (ended.returncode, ended.stdout) == (0, "once\nsurvived\n")


def test_in_a_drill_the_process_dies_at_the_nth_passing_and_notes_where(tmp_path: Path) -> None:
    """A drill counts only deaths that were written down before the process ended."""
    deaths = tmp_path / "deaths"

    ended = passed({crash.VARIABLE: str(deaths)})

    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "once\n")
    assert deaths.read_text() == "after put\n"


def test_a_point_that_does_not_exist_cannot_be_armed() -> None:
    """A misspelt point would let a drill pass without a single death."""
    with pytest.raises(ValueError, match="no crash point"):
        crash.arm("after lunch")
