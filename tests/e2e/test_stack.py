"""The supervisor of `mailroom up` with small parts: it watches and stops every process that it starts, even when killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mailroom.sandbox.errors import StackError
from mailroom.sandbox.stack.background import relay
from mailroom.sandbox.stack.folder import DataFolder, write_json
from mailroom.sandbox.stack.leftovers import end_leftovers
from mailroom.sandbox.stack.parts import Part
from mailroom.sandbox.stack.ports import answers
from mailroom.sandbox.stack.processes import ProcessId
from mailroom.sandbox.stack.stack import down, status, supervise, up
from tests.support.loopback_ports import free_port
from tests.support.supervisor_process import SERVER, SLEEPER, STUBBORN, Supervised, wait_until


def test_a_part_that_dies_is_named_with_the_end_of_its_log_and_stops_the_rest(supervised: Supervised) -> None:
    """In a stack with a missing part, mails would wait and nothing would say why."""
    dying = "import time; [print('line', n, flush=True) for n in range(30)]; time.sleep(1.5); raise SystemExit('the disk is full')"
    supervised.start_and_wait({"name": "bystander", "code": SLEEPER}, {"name": "victim", "code": dying})
    parts = supervised.parts()

    output = supervised.output()

    assert supervised.code() == 1
    assert "victim ended with exit code 1; the last lines of" in output
    assert "  | the disk is full" in output
    assert "  | line 29" in output
    assert "  | line 5\n" not in output, "20 lines are enough"
    assert output.rstrip().splitlines()[-1].startswith("mailroom: victim ended with exit code 1; see ")
    assert not any(part.is_alive() for part in parts.values())


def test_a_failed_stack_says_so_afterwards(supervised: Supervised) -> None:
    supervised.start({"name": "victim", "code": "import time; time.sleep(1); raise SystemExit(3)"})
    supervised.output()

    found = status()

    assert found["state"] == "failed"
    assert found["reason"].startswith("victim ended with exit code 3")
    assert [(part["name"], part["state"]) for part in found["parts"]] == [("victim", "failed")]


def test_a_part_killed_from_outside_is_named_with_its_signal(supervised: Supervised) -> None:
    supervised.start_and_wait({"name": "victim", "code": SLEEPER})

    supervised.parts()["victim"].signal(signal.SIGKILL)

    assert "victim was killed by SIGKILL" in supervised.output()


def test_a_step_that_fails_is_shown_and_what_waits_for_it_never_starts(supervised: Supervised) -> None:
    supervised.start(
        {"name": "step", "code": "raise SystemExit('no such table')", "once": True},
        {"name": "later", "code": SLEEPER, "after": ["step"]},
    )

    output = supervised.output()

    assert "step ended with exit code 1" in output
    assert "no such table" in output
    assert not (supervised.folder.logs / "later.log").exists()


def test_a_part_with_a_gate_is_imported_early_and_works_in_its_turn(supervised: Supervised, tmp_path: Path) -> None:
    """Imports take seconds that the parts before it need anyway."""
    order = tmp_path / "order"
    noting = f"open({str(order)!r}, 'a').write"
    patient = (
        f"import pathlib, time\nwhile not pathlib.Path({str(order)!r}).exists(): time.sleep(0.02)\n{noting}('step ')"
    )
    early = f"{noting}('imported ')\ndef main():\n    {noting}('ran ')"

    supervised.start_and_wait(
        {"name": "step", "code": patient, "once": True},
        {"name": "early", "code": early, "after": ["step"], "gate": str(tmp_path / "early.gate")},
    )

    assert order.read_text().split() == ["imported", "step", "ran"]
    assert not (tmp_path / "early.gate").exists()


def test_a_program_that_does_not_exist_is_an_error_in_one_line(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.make()

    with folder.held(), pytest.raises(StackError, match="ghost cannot be started"):
        supervise([Part(name="ghost", argv=["/no/such/program"])], folder=folder, say=lambda _line: None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_everything_and_leaves_nothing(supervised: Supervised, number: signal.Signals) -> None:
    port = free_port()
    supervised.start_and_wait({"name": "server", "code": SERVER.format(port=port), "port": port})
    parts = supervised.parts()

    supervised.send(number)

    assert "stopped; no processes are left running" in supervised.output()
    assert supervised.code() == 0
    assert not any(part.is_alive() for part in parts.values())
    assert not answers(port)
    assert not supervised.folder.stack_file.exists()
    assert not supervised.folder.run_file.exists()


def test_parts_stop_before_what_they_depend_on_even_through_a_step(supervised: Supervised, tmp_path: Path) -> None:
    """The worker depends on the queue through the step that creates it, and must be able to release its mails."""
    order = tmp_path / "order"
    noting = (
        "import signal, time, sys, pathlib\n"
        "def stop(*_):\n"
        f"    open({str(order)!r}, 'a').write('%s ')\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        f"pathlib.Path({str(tmp_path)!r}, '%s').touch()\n"
        "time.sleep(600)"
    )
    supervised.start_and_wait(
        {"name": "queue", "code": noting % ("queue", "queue")},
        {"name": "step", "code": "pass", "after": ["queue"], "once": True},
        {"name": "worker", "code": noting % ("worker", "worker"), "after": ["step"]},
    )
    wait_until(lambda: (tmp_path / "queue").exists() and (tmp_path / "worker").exists())

    supervised.send(signal.SIGTERM)
    supervised.output()

    assert order.read_text().split() == ["worker", "queue"]


def test_a_part_that_will_not_stop_is_killed(supervised: Supervised) -> None:
    supervised.start_and_wait({"name": "mule", "code": STUBBORN, "grace_s": 0.3})
    mule = supervised.parts()["mule"]
    wait_until(lambda: "deaf" in (supervised.folder.logs / "mule.log").read_text())

    supervised.send(signal.SIGTERM)

    assert "mule" in supervised.output()
    assert not mule.is_alive()


def test_a_process_that_left_its_parent_is_ended_too(supervised: Supervised, tmp_path: Path) -> None:
    """A worker's child may outlive its worker, in a session of its own where no group signal finds it."""
    written = tmp_path / "pid"
    parting = (
        "import pathlib, subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEPER!r}], start_new_session=True)\n"
        f"pathlib.Path({str(written)!r}).write_text(str(child.pid))\n"
        "time.sleep(600)"
    )
    supervised.start_and_wait({"name": "parent", "code": parting})
    wait_until(lambda: written.exists() and written.read_text())
    orphan = ProcessId.of(int(written.read_text()))

    supervised.send(signal.SIGTERM)
    supervised.output()

    wait_until(lambda: not orphan.is_alive())


def test_a_killed_supervisor_takes_its_parts_with_it(supervised: Supervised) -> None:
    """After SIGKILL only the kernel can clean up."""
    port = free_port()
    supervised.start_and_wait(
        {"name": "server", "code": SERVER.format(port=port), "port": port}, {"name": "sleeper", "code": SLEEPER}
    )
    parts = supervised.parts()

    supervised.send(signal.SIGKILL)
    supervised.code()

    wait_until(lambda: not any(part.is_alive() for part in parts.values()))
    assert status()["state"] == "failed"


def test_what_survived_a_killed_supervisor_is_ended_by_the_next_down(
    supervised: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervised.start_and_wait({"name": "mule", "code": STUBBORN})
    mule = supervised.parts()["mule"]
    wait_until(lambda: "deaf" in (supervised.folder.logs / "mule.log").read_text())
    supervised.send(signal.SIGKILL)
    supervised.code()
    assert mule.is_alive()
    monkeypatch.setattr("mailroom.sandbox.stack.leftovers._GRACE_S", 0.2)

    said: list[str] = []
    down(said.append)

    wait_until(lambda: not mule.is_alive())
    assert said == ["stopped 1 processes"]
    assert status()["state"] == "stopped"


def test_a_foreign_process_with_the_pid_of_ours_is_left_alone(tmp_path: Path) -> None:
    """After a reboot the pids in the file belong to other processes."""
    folder = DataFolder(tmp_path / "data")
    folder.make()
    stranger = subprocess.Popen([sys.executable, "-c", SLEEPER])
    try:
        part = {"pid": stranger.pid, "started": ProcessId.of(stranger.pid).started - 1, "stop_signal": 15}
        write_json(folder.run_file, {"word": "of another start", "parts": [part]})

        assert end_leftovers(folder) == 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_second_up_is_refused_and_says_where_the_first_is(supervised: Supervised) -> None:
    supervised.start_and_wait({"name": "sleeper", "code": SLEEPER})
    assert supervised.process is not None

    with pytest.raises(StackError, match=f"is already running in .*, process {supervised.process.pid}"):
        up(lambda _line: None)

    assert supervised.parts()["sleeper"].is_alive()


def test_status_notices_a_part_whose_port_is_silent(supervised: Supervised) -> None:
    port = free_port()
    closing = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(1); s.close(); time.sleep(600)"
    supervised.start_and_wait({"name": "server", "code": closing, "port": port})
    assert status()["parts"][0]["pid"] == supervised.parts()["server"].pid

    wait_until(lambda: status()["parts"][0]["state"] == "failed")

    assert status()["state"] == "failed"


def test_down_stops_a_running_stack_and_wipe_forgets_it(supervised: Supervised) -> None:
    supervised.start_and_wait({"name": "sleeper", "code": SLEEPER})
    sleeper = supervised.parts()["sleeper"]

    down(lambda _line: None, wipe=True)

    assert supervised.code() == 0
    assert not sleeper.is_alive()
    assert not supervised.folder.path.exists()


def test_a_start_in_the_background_repeats_the_lines_and_returns_when_ready(supervised: Supervised) -> None:
    supervised.folder.make()
    said: list[str] = []

    relay(supervised.argv({"name": "sleeper", "code": SLEEPER}), folder=supervised.folder, say=said.append)

    holder = supervised.folder.holder()
    assert holder is not None
    assert os.getsid(holder.pid) == holder.pid, "closing the terminal does not end it"
    assert said[0].startswith("sleeper      ready")
    assert said[1].startswith("ready after")
    assert status()["state"] == "ready"
    down(said.append)
    assert not holder.is_alive()


def test_a_start_in_the_background_that_fails_says_why(supervised: Supervised) -> None:
    supervised.folder.make()
    argv = supervised.argv({"name": "step", "code": "raise SystemExit('no such table')", "once": True})
    said: list[str] = []

    with pytest.raises(StackError, match="step ended with exit code 1"):
        relay(argv, folder=supervised.folder, say=said.append)

    assert "  | no such table" in said
