"""The parts of a soak: each can be restarted or killed while the others run, and what ends by itself is named."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from mailroom.sandbox.drills.soak_stack import SoakStack
from mailroom.sandbox.errors import StackError
from mailroom.sandbox.stack.folder import DataFolder
from mailroom.sandbox.stack.parts import Part
from mailroom.sandbox.stack.stack import Stack


def a_part(folder: Path, name: str, script: str = "import time; time.sleep(60)", **more: Any) -> Part:
    """Return a part that touches a file when it is ready, and then does as the script says."""
    ready = folder / f"{name}.up"
    words = f"open({str(ready)!r}, 'w'); print('{name} began', flush=True); {script}"
    how: dict[str, Any] = {"ready": ready.exists, "prepare": lambda: ready.unlink(missing_ok=True)}
    return Part(name=name, argv=[sys.executable, "-c", words], patience_s=5, grace_s=5, **(how | more))


class FewParts:
    """The parts of an embedded stack that a soak uses."""

    def __init__(self, *parts: Part) -> None:
        self._parts = list(parts)

    def parts(self) -> list[Part]:
        return self._parts

    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"]}

    def description(self) -> dict[str, Any]:
        return {"api_url": "http://127.0.0.1:1"}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[SoakStack]:
    """Two parts and a step."""
    folder = DataFolder(tmp_path / "stack")
    folder.make()
    made = SoakStack(folder, lambda _: None)
    step = Part(name="step", argv=[sys.executable, "-c", "pass"], once=True)
    parts = a_part(tmp_path, "database"), step, a_part(tmp_path, "service")
    made.start_all(cast(Stack, FewParts(*parts)))
    yield made
    made.stop_all()


@pytest.mark.parametrize("kill", [False, True])
def test_a_part_is_restarted_while_the_others_run_and_both_its_logs_are_kept(running: SoakStack, kill: bool) -> None:
    """`mailroom check --logs` reads `*.log`: an ERROR before the restart counts as one after it."""
    before = running.pids()

    running.restart("database", kill=kill)

    after = running.pids()
    assert after["database"] != before["database"]
    assert after["service"] == before["service"]
    assert after.keys() == {"database", "service"}
    logs = {log.name for log in running.folder.logs.glob("database*.log") if log.read_text() == "database began\n"}
    assert logs == {"database.log", "database.1.log"}
    assert (running.ended(), running.slow) == ([], [])


def test_a_part_that_ends_by_itself_is_named(running: SoakStack) -> None:
    """A soak does not go on with half a stack."""
    os.kill(running.pids()["service"], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while not (said := running.ended()) and time.monotonic() < deadline:
        time.sleep(0.02)

    assert said == ["service was killed by SIGKILL; see service.log"]


def test_nothing_runs_after_the_end(running: SoakStack) -> None:
    """Ctrl-C in the middle leaves no process behind."""
    pids = running.pids().values()

    running.stop_all()

    assert running.pids() == {}
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_part_that_cannot_start_ends_the_soak_with_the_end_of_its_log(tmp_path: Path) -> None:
    """The cause is in that log, and the log's folder is about to be removed."""
    folder = DataFolder(tmp_path / "stack")
    folder.make()
    broken = a_part(tmp_path, "service", "print('no port', flush=True); raise SystemExit(3)", ready=lambda: False)

    with pytest.raises(StackError, match=r"service ended with exit code 3(.|\n)*no port"):
        SoakStack(folder, lambda _: None).start_all(cast(Stack, FewParts(broken)))
