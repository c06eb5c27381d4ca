"""A supervisor of small parts in a separate process, as `mailroom up` runs one."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mailroom.sandbox.stack.folder import DataFolder
from mailroom.sandbox.stack.processes import ProcessId
from mailroom.settings import CHECKOUT
from tests.support.patience import PATIENCE_S

#: A supervisor of parts that are given as JSON: {name, code (Python), after, port, once, grace_s, gate, heals, loss, ready_file}.
SUPERVISOR = """
import json, sys
from pathlib import Path
from mailroom.sandbox.stack import deaths, healing
from mailroom.sandbox.errors import StackError
from mailroom.sandbox.stack.folder import DataFolder
from mailroom.sandbox.stack.parts import Part
from mailroom.sandbox.stack.ports import answers
from mailroom.sandbox.stack.stack import supervise

def part(name, code, after=(), port=None, once=False, grace_s=10, gate=None, ready_file=None, **more):
    argv = [sys.executable, "-c", code]
    if gate:
        Path(gate).with_suffix(".py").write_text(code)
        env = {"PYTHONPATH": str(Path(gate).parent)}
        argv = [sys.executable, "-m", "mailroom.sandbox.stack.preload", Path(gate).stem, gate]
        once = not more.get("heals")
        return Part(name=name, argv=argv, after=tuple(after), once=once, gate=Path(gate), env=lambda: env, **more)
    ready = (lambda: answers(port)) if port else (lambda: ready_file is None or Path(ready_file).exists())
    return Part(name=name, argv=argv, after=tuple(after), port=port, once=once, ready=ready, grace_s=grace_s, **more)

folder = DataFolder(Path(sys.argv[1]))
folder.make()
deaths._FIRST_PAUSE_S, healing._ORPHANS_GRACE_S = float(sys.argv[3]), 0.5
try:
    with folder.held():
        parts = [part(**fields) for fields in json.loads(sys.argv[2])]
        supervise(parts, folder=folder, say=lambda line: print(line, flush=True))
except StackError as error:
    sys.exit(f"mailroom: {error}")
"""

SLEEPER = "import time; time.sleep(600)"
SERVER = "import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)


def wait_until(is_so: Callable[[], Any], *, within_s: float = PATIENCE_S) -> None:
    """Return as soon as `is_so`; fail when it does not become so in time."""
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not become so in time"
        time.sleep(0.02)


class Supervised:
    """A supervisor in a separate process, as `mailroom up` runs one."""

    def __init__(self, data: Path) -> None:
        self.folder = DataFolder(data)
        self.process: subprocess.Popen[str] | None = None
        self.pause_s = 0.05

    def argv(self, *parts: dict[str, Any]) -> list[str]:
        """Return the command that supervises `parts`."""
        return [sys.executable, "-c", SUPERVISOR, str(self.folder.path), json.dumps(parts), str(self.pause_s)]

    def start(self, *parts: dict[str, Any]) -> None:
        """Start it, and return at once."""
        self.process = subprocess.Popen(
            self.argv(*parts), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=CHECKOUT
        )

    def start_and_wait(self, *parts: dict[str, Any]) -> None:
        """Start it, and return when all parts are ready."""
        self.start(*parts)
        wait_until(lambda: self.run().get("state") == "ready")

    def send(self, number: signal.Signals) -> None:
        """Send the supervisor a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def output(self) -> str:
        """Return its output, once it has ended."""
        assert self.process is not None
        return self.process.communicate(timeout=PATIENCE_S)[0]

    def code(self) -> int:
        """Return its exit code, once it has ended."""
        assert self.process is not None
        self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode

    def run(self) -> dict[str, Any]:
        """Return its file of processes."""
        try:
            found: dict[str, Any] = json.loads(self.folder.run_file.read_text())
        except FileNotFoundError:
            return {}
        return found

    def parts(self) -> dict[str, ProcessId]:
        """Return the processes of the parts."""
        return {part["name"]: ProcessId.from_json(part) for part in self.run()["parts"]}
