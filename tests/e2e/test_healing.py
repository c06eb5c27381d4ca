"""The supervisor restarts parts: one that dies after the start is restarted alone, and not for ever."""

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from mailroom.sandbox.stack.ports import answers
from mailroom.sandbox.stack.processes import ProcessId
from mailroom.sandbox.stack.stack import status
from mailroom.settings import CHECKOUT
from tests.support.loopback_ports import free_port
from tests.support.supervisor_process import SERVER, SLEEPER, Supervised, wait_until

#: Writes its name to a file each time it starts.
NOTING = "import time; open({file!r}, 'a').write('{name} '); {then}time.sleep(600)"


def shown(name: str) -> dict[str, Any]:
    """Return what `status` shows of a part."""
    found: dict[str, Any] = next(part for part in status()["parts"] if part["name"] == name)
    return found


def is_back(name: str, *, restarts: int = 1) -> bool:
    return shown(name)["state"] == "ready" and shown(name)["restarts"] == restarts


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_part_that_is_killed_is_started_again_and_its_neighbour_is_not(
    supervised: Supervised, number: signal.Signals
) -> None:
    """The same port, the same log, another process; `status` says how often, when and of what."""
    port = free_port()
    supervised.start_and_wait(
        {
            "name": "server",
            "code": "print('hello', flush=True);" + SERVER.format(port=port),
            "port": port,
            "heals": True,
        },
        {"name": "neighbour", "code": SLEEPER, "after": ["server"], "heals": True},
    )
    before = supervised.parts()
    wait_until(lambda: (supervised.folder.logs / "server.log").read_text() == "hello\n")

    before["server"].signal(number)
    wait_until(lambda: is_back("server"))

    after = supervised.parts()
    assert after["server"] != before["server"]
    assert after["neighbour"] == before["neighbour"]
    assert after["neighbour"].is_alive()
    assert answers(port)
    assert shown("server")["last_death"] == f"was killed by {number.name}"
    assert shown("server")["last_death_at"].startswith("20")
    assert (shown("neighbour")["restarts"], shown("neighbour")["last_death"]) == (0, None)
    assert status()["state"] == "ready"
    assert (supervised.folder.logs / "server.log").read_text() == "hello\nhello\n"
    supervised.send(signal.SIGTERM)
    said = supervised.output()
    assert f"server was killed by {number.name}; restarting in" in said
    assert "server       ready again" in said
    assert "stopped; no processes are left running" in said


def test_a_part_that_ends_by_itself_is_started_again(supervised: Supervised, tmp_path: Path) -> None:
    """Exit code 0 counts too: its work is not being done."""
    flag = tmp_path / "flag"
    once = f"import pathlib, time; f = pathlib.Path({str(flag)!r})\nif not f.exists(): f.touch(); time.sleep(1); raise SystemExit(0)\ntime.sleep(600)"
    supervised.start_and_wait({"name": "part", "code": once, "heals": True})

    wait_until(lambda: is_back("part"))

    assert shown("part")["last_death"] == "ended with exit code 0"


def test_a_part_with_a_gate_works_again(supervised: Supervised, tmp_path: Path) -> None:
    """The worker is one: on a restart its gate opens at once."""
    ran = tmp_path / "ran"
    code = f"import time\ndef main():\n    open({str(ran)!r}, 'a').write('ran ')\n    time.sleep(600)"
    supervised.start_and_wait(
        {"name": "early", "code": code, "gate": str(tmp_path / "early.gate"), "heals": True, "ready_file": str(ran)}
    )
    wait_until(ran.exists)

    supervised.parts()["early"].signal(signal.SIGKILL)

    wait_until(lambda: ran.read_text() == "ran ran ")
    wait_until(lambda: not (tmp_path / "early.gate").exists())


def test_a_part_that_dies_too_often_is_given_up_and_the_others_stay(supervised: Supervised, tmp_path: Path) -> None:
    """Restarted for ever it would hide its fault and use a core. The message says what to do."""
    file = str(tmp_path / "starts")
    supervised.start_and_wait(
        {"name": "mortal", "code": NOTING.format(file=file, name="m", then="time.sleep(0.4); exit(3);"), "heals": True},
        {"name": "neighbour", "code": SLEEPER, "heals": True},
    )

    wait_until(lambda: status()["state"] == "failed" and shown("mortal")["state"] == "given_up")

    assert Path(file).read_text().split() == ["m"] * 6
    assert status()["reason"].startswith("mortal ended with exit code 3, and is not restarted after 6 exits")
    assert "mailroom down" in status()["reason"]
    assert shown("neighbour")["state"] == "ready"
    neighbour = supervised.parts()["neighbour"]
    supervised.send(signal.SIGTERM)
    assert "mortal ended with exit code 3, and is not restarted after 6 exits" in supervised.output()
    assert supervised.code() == 0
    assert not neighbour.is_alive()


def test_a_stop_during_the_pause_does_not_wait_for_its_end(supervised: Supervised) -> None:
    supervised.pause_s = 600
    supervised.start_and_wait({"name": "part", "code": SLEEPER, "heals": True})
    supervised.parts()["part"].signal(signal.SIGKILL)
    wait_until(lambda: shown("part")["state"] == "restarting" and shown("part")["pid"] == 0)
    assert status()["state"] == "restarting"
    asked = time.monotonic()

    supervised.send(signal.SIGTERM)

    assert "stopped; no processes are left running" in supervised.output()
    assert time.monotonic() - asked < 120


def test_a_stop_during_a_restart_ends_what_is_half_started(supervised: Supervised, tmp_path: Path) -> None:
    port, flag = free_port(), tmp_path / "flag"
    slow_again = (
        f"import pathlib, time\nif pathlib.Path({str(flag)!r}).exists(): time.sleep(600)\n"
        f"pathlib.Path({str(flag)!r}).touch()\n" + SERVER.format(port=port)
    )
    supervised.start_and_wait({"name": "server", "code": slow_again, "port": port, "heals": True})
    supervised.parts()["server"].signal(signal.SIGKILL)
    wait_until(lambda: supervised.run()["parts"][0]["restarts"] == 1 and supervised.run()["parts"][0]["pid"])
    half = supervised.parts()["server"]
    assert half.is_alive()

    supervised.send(signal.SIGINT)

    assert "stopped; no processes are left running" in supervised.output()
    assert not half.is_alive()


def test_a_part_is_restarted_only_after_its_old_processes_are_gone(supervised: Supervised, tmp_path: Path) -> None:
    """PostgreSQL's children: each in a session of its own, with an environment that says nothing, and shared memory in use."""
    pids, started = tmp_path / "pids", "import os, pathlib, subprocess, sys, time\n"
    leaving = started + (
        f"f = pathlib.Path({str(pids)!r})\n"
        "left = [int(pid) for pid in f.read_text().split()] if f.exists() else []\n"
        "assert not any(pathlib.Path(f'/proc/{pid}').exists() for pid in left), 'the old one still lives'\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEPER!r}], start_new_session=True, env={{}})\n"
        "f.write_text(str(child.pid))\ntime.sleep(600)"
    )
    supervised.start_and_wait({"name": "parent", "code": leaving, "heals": True})
    wait_until(lambda: pids.exists() and pids.read_text())
    child = ProcessId.of(int(pids.read_text()))

    supervised.parts()["parent"].signal(signal.SIGKILL)
    wait_until(lambda: int(pids.read_text() or child.pid) != child.pid)

    assert not child.is_alive()
    assert shown("parent")["restarts"] == 1
    second = ProcessId.of(int(pids.read_text()))
    supervised.parts()["parent"].signal(signal.SIGKILL)
    supervised.send(signal.SIGTERM)
    assert "stopped; no processes are left running" in supervised.output()
    wait_until(lambda: not second.is_alive())


def test_children_of_others_are_left_alone(supervised: Supervised) -> None:
    """A supervisor may run within a program that has children of its own."""
    argv = supervised.argv({"name": "part", "code": SLEEPER, "heals": True})
    child = f"import subprocess, sys\nown = subprocess.Popen([sys.executable, '-c', {SLEEPER!r}])\n"
    argv[2] = child + argv[2].replace(
        "except StackError", "    assert own.poll() is None\n    own.kill()\nexcept StackError"
    )
    supervised.process = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=CHECKOUT
    )
    wait_until(lambda: supervised.run().get("state") == "ready")
    supervised.parts()["part"].signal(signal.SIGKILL)
    wait_until(lambda: is_back("part"))

    supervised.send(signal.SIGTERM)

    assert supervised.code() == 0


def test_a_part_waits_until_the_parts_it_depends_on_are_back(supervised: Supervised, tmp_path: Path) -> None:
    """A worker that comes before its database dies again, and its deaths are counted."""
    file, port = str(tmp_path / "order"), free_port()
    slow = f"import socket; time.sleep(0.5); s = socket.create_server(('127.0.0.1', {port}));"
    supervised.start_and_wait(
        {"name": "queue", "code": NOTING.format(file=file, name="queue", then=slow), "port": port, "heals": True},
        {"name": "step", "code": "pass", "after": ["queue"], "once": True},
        {"name": "worker", "code": NOTING.format(file=file, name="worker", then=""), "after": ["step"], "heals": True},
    )
    wait_until(lambda: Path(file).read_text().split() == ["queue", "worker"])

    for name in ("worker", "queue"):
        supervised.parts()[name].signal(signal.SIGKILL)

    wait_until(lambda: Path(file).read_text().split() == ["queue", "worker", "queue", "worker"])
    wait_until(lambda: is_back("queue") and is_back("worker"))


def test_a_part_that_closes_its_port_and_never_ends_is_killed(supervised: Supervised) -> None:
    """A server that got SIGTERM may wait for its clients for ever without serving any."""
    port = free_port()
    hanging = (
        "import signal, socket, time\n"
        f"s = socket.create_server(('127.0.0.1', {port}))\n"
        "signal.signal(signal.SIGTERM, lambda *_: s.close())\n"
        "while True: time.sleep(1)"
    )
    supervised.start_and_wait({"name": "server", "code": hanging, "port": port, "heals": True, "grace_s": 0.5})

    supervised.parts()["server"].signal(signal.SIGTERM)

    wait_until(lambda: is_back("server"))
    assert shown("server")["last_death"] == "was killed by SIGKILL"
    assert answers(port)


def test_the_death_of_a_part_that_cannot_heal_ends_the_stack_with_the_reason(supervised: Supervised) -> None:
    """The AWS emulator: what it held in memory is lost to the parts that go on."""
    supervised.start_and_wait(
        {"name": "aws", "code": SLEEPER, "loss": "its queues were in its memory"},
        {"name": "worker", "code": SLEEPER, "after": ["aws"], "heals": True},
    )
    worker = supervised.parts()["worker"]

    supervised.parts()["aws"].signal(signal.SIGTERM)

    assert "mailroom: aws was killed by SIGTERM: its queues were in its memory; see" in supervised.output()
    assert supervised.code() == 1
    assert not worker.is_alive()
    assert status()["reason"].startswith("aws was killed by SIGTERM: its queues were in its memory")


def test_a_part_that_dies_before_all_are_ready_is_a_start_that_failed(supervised: Supervised) -> None:
    """The operator waits at the terminal to see what is wrong."""
    supervised.start(
        {"name": "part", "code": "import time; time.sleep(0.5); exit(3)", "heals": True},
        {"name": "slow", "code": "import time; time.sleep(5)", "once": True},
    )

    assert "mailroom: part ended with exit code 3; see" in supervised.output()
    assert supervised.code() == 1
