"""Workers and HTTP services for drills: forked from one process with all imports done, with crash points armed."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM, Signals
from typing import Any, Self

from mailroom.operations.loops import wait_until
from mailroom.sandbox.errors import StackError
from mailroom.sandbox.stack.processes import ProcessId
from mailroom.settings import CHECKOUT

#: The listener's intervals for drills: seconds instead of minutes as in production.
QUICK: Mapping[str, Any] = {
    "long_poll_s": 1,
    "visibility_s": 4,
    "beat_s": 0.8,
    "stale_s": 3.0,
    "notice_grace_s": 1.0,
    "stop_patience_s": 2.0,
    "retry_after_s": 2,
    "leave_for_s": 2,
}


_LOOK_AGAIN_S = 0.01


@dataclass(frozen=True, slots=True)
class Worker:
    """One forked worker."""

    process: ProcessId
    ready_file: Path

    def is_ready(self) -> bool:
        """Return whether it listens."""
        return self.ready_file.exists()

    def is_alive(self) -> bool:
        """Return whether it runs."""
        return self.process.is_alive()

    def kill(self) -> bool:
        """Kill it and its children; return whether it was alive."""
        return self._signal(SIGKILL)

    def wake(self) -> bool:
        """Continue it after SIGSTOP; return whether it was alive."""
        return self._signal(SIGCONT)

    def stop(self) -> bool:
        """Stop it by SIGTERM, as a deployment does; return whether it was alive."""
        return self._signal(SIGTERM)

    def wait_ready(self, *, within_s: float = 30) -> bool:
        """Wait until it listens; return whether it does within this time."""
        wait_until(lambda: self.is_ready() or not self.is_alive(), within_s=within_s, every_s=_LOOK_AGAIN_S)
        return self.is_ready()

    def wait(self, *, within_s: float) -> bool:
        """Wait until it ends; return whether it does within this time."""
        return wait_until(lambda: not self.is_alive(), within_s=within_s, every_s=_LOOK_AGAIN_S)

    def _signal(self, number: Signals) -> bool:
        alive = self.is_alive()
        self.process.signal(number, group=number is SIGKILL)
        return alive


@dataclass(slots=True)
class ForkServer:
    """The process that forks workers. A context manager: nothing that it started outlives the block."""

    environment: Mapping[str, str]
    folder: Path
    timing: Mapping[str, Any] = field(default_factory=lambda: QUICK)
    process: "subprocess.Popen[str] | None" = None
    forked: int = 0

    @property
    def deaths_file(self) -> Path:
        """The file in which each death at a crash point is recorded."""
        return self.folder / "deaths"

    @property
    def log(self) -> Path:
        """The log of the workers."""
        return self.folder / "workers.log"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        # The variable arms crash points and names the file of deaths.
        env = {**self.environment, "MAILROOM_CRASH_DRILL": str(self.deaths_file), "PYTHONUNBUFFERED": "1"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deployments.worker.fork_server"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=env,
                cwd=CHECKOUT,
                text=True,
                start_new_session=True,
            )
        if self._line() != "ready":
            raise StackError(f"cannot fork a worker; see {self.log}")
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def fork(self, *, crash: str = "", nth: int = 1, blow: Signals = SIGKILL, limit: int = 8, **timing: Any) -> Worker:
        """Start a worker; it gets the signal `blow` when it passes the crash point `crash` for the nth time."""
        values = {"limit": limit, "timing": {**self.timing, **timing}}
        return self._fork({"crash": crash, "nth": nth, "blow": blow.value, **values})

    def serve(self, port: int, *, crash: str = "", nth: int = 1) -> Worker:
        """Start the HTTP service with its relay as a separate process, which dies at `crash` likewise."""
        return self._fork({"crash": crash, "nth": nth, "blow": SIGKILL.value, "port": port})

    def deaths(self) -> list[str]:
        """Return the crash points at which workers died, in order."""
        return self.deaths_file.read_text().splitlines() if self.deaths_file.exists() else []

    def _fork(self, wish: dict[str, Any]) -> Worker:
        assert self.process is not None
        assert self.process.stdin is not None
        self.forked += 1
        ready_file = self.folder / f"ready-{self.forked}"
        self.process.stdin.write(json.dumps(wish | {"ready_file": str(ready_file)}) + "\n")
        self.process.stdin.flush()
        return Worker(ProcessId.of(int(self._line())), ready_file)

    def _line(self) -> str:
        assert self.process is not None
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()
