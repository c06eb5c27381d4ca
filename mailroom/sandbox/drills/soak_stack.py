"""The stack of a soak: all parts of `mailroom up` and a second worker, each of which can be restarted while the others run.

A restart keeps the port and the data. The previous log is kept as `<part>.<n>.log`, so that `mailroom check --logs` reads all.
"""

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from mailroom.sandbox.errors import StackError
from mailroom.sandbox.stack.environment import NO_SENDER_LIMIT
from mailroom.sandbox.stack.folder import DataFolder, read_json, write_json
from mailroom.sandbox.stack.parts import Part
from mailroom.sandbox.stack.ports import choose_apart
from mailroom.sandbox.stack.probes import exists
from mailroom.sandbox.stack.processes import (
    RUN_VARIABLE,
    carriers,
    collect,
    ending,
    has_exited,
    last_lines,
    start,
)
from mailroom.sandbox.stack.stack import Stack
from mailroom.settings import CHECKOUT

#: The worker that runs for the whole soak, and the one that is restarted.
STEADY_WORKER, RESTARTED_WORKER = "worker", "worker-restarted"

_PAUSE_S = 0.05
#: Under load a part takes longer to get ready, and to stop, than on an idle machine.
_PATIENCE = 4

Say = Callable[[str], None]


@dataclass(slots=True)
class SoakStack:
    """Running parts by name. Start and restart them from the main thread: the kernel ends a child with its thread."""

    folder: DataFolder
    say: Say
    facts: dict[str, Any] = field(default_factory=dict)
    #: How often each part was started before.
    restarts: dict[str, int] = field(default_factory=dict)
    #: Parts that had to be killed because they did not stop in time.
    slow: list[str] = field(default_factory=list)
    _parts: dict[str, Part] = field(default_factory=dict)
    _processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    _env: dict[str, str] = field(default_factory=dict)

    def pids(self) -> dict[str, int]:
        """Return the process id of each part that keeps running."""
        return {name: process.pid for name, process in list(self._processes.items())}

    def start_all(self, stack: Stack) -> None:
        """Start every part after those that it waits for, and describe the stack in `stack.json`.

        Raises:
            StackError: a part did not get ready.
        """
        self._env = {**stack.environment(), RUN_VARIABLE: secrets.token_hex(16)}
        self._parts = {part.name: part for part in _with_second_worker(stack.parts(), self.folder.path)}
        for name, part in self._parts.items():
            began = time.monotonic()
            self._start(name)
            self._wait_ready(name)
            if part.once:
                del self._processes[name]
            self.say(f"{name:<16} ready after {time.monotonic() - began:.1f} s")
        self.facts = stack.description()
        write_json(self.folder.stack_file, {**self.facts, "state": "ready", "parts": []})

    def restart(self, name: str, *, kill: bool = False) -> float:
        """Stop a part as a deployment does, or kill it and its children, and start it; return its downtime in seconds.

        Raises:
            StackError: it did not get ready again.
        """
        began = time.monotonic()
        self._stop(name, kill=kill)
        self.restarts[name] = self.restarts.get(name, 0) + 1
        log = self.folder.logs / f"{name}.log"
        log.rename(self.folder.logs / f"{name}.{self.restarts[name]}.log")
        self._start(name)
        self._wait_ready(name)
        return time.monotonic() - began

    def ended(self) -> list[str]:
        """Return a sentence for each part that ended unexpectedly."""
        return [
            f"{name} {ending(collect(process))}; see {name}.log"
            for name, process in self._processes.items()
            if has_exited(process)
        ]

    def stop_all(self) -> None:
        """Stop every part in reverse order of start, and end leftover processes."""
        for name in reversed(list(self._processes)):
            self._stop(name)
            del self._processes[name]
        for process in carriers(self._env.get(RUN_VARIABLE, "")) if self._env else []:
            process.signal(signal.SIGKILL)

    def _start(self, name: str) -> None:
        part = self._parts[name]
        if part.gate:
            write_json(part.gate, dict(part.env()))
        part.prepare()
        self._processes[name] = start(
            part.command(),
            env={**self._env, **part.env()},
            folder=CHECKOUT,
            log=self.folder.logs / f"{name}.log",
            last_signal=part.stop_signal,
        )

    def _wait_ready(self, name: str) -> None:
        part, process, log = self._parts[name], self._processes[name], self.folder.logs / f"{name}.log"
        deadline = time.monotonic() + _PATIENCE * part.patience_s
        while True:
            exited = has_exited(process)
            if exited and part.once and collect(process) == 0:
                return
            if exited:
                lines = "\n".join(last_lines(log))
                raise StackError(f"{name} {ending(collect(process))}; the last lines of its log:\n{lines}")
            if not part.once and part.ready():
                return
            if time.monotonic() > deadline:
                raise StackError(f"{name} was not ready after {_PATIENCE * part.patience_s:.0f} s; see {log}")
            time.sleep(_PAUSE_S)

    def _stop(self, name: str, *, kill: bool = False) -> None:
        part, process = self._parts[name], self._processes[name]
        if not has_exited(process):
            process.send_signal(signal.SIGKILL if kill else part.stop_signal)
        deadline = time.monotonic() + _PATIENCE * part.grace_s
        while not has_exited(process):
            if time.monotonic() > deadline:
                self.slow.append(f"{name} did not stop within {_PATIENCE * part.grace_s:.0f} s and was killed")
                process.kill()
                deadline = float("inf")
            time.sleep(_PAUSE_S)
        collect(process)


@contextmanager
def soak_stack(folder: Path, say: Say, chosen: Mapping[str, str]) -> Iterator[SoakStack]:
    """Run a soak stack for the duration of a block, on ports that no other stack prefers; nothing of it runs afterwards.

    `chosen` are settings that it has besides those of the sandbox.
    """
    data = DataFolder(folder)
    data.make()
    with data.held():
        choose_apart(folder / "ports.json")
        os.environ.update({**NO_SENDER_LIMIT, **chosen})
        running = SoakStack(data, say)
        try:
            running.start_all(Stack(data, read_json(folder / "ports.json")))
            yield running
        finally:
            running.stop_all()
            with suppress(OSError):
                data.stack_file.unlink()


def _with_second_worker(parts: list[Part], data: Path) -> Iterator[Part]:
    for part in parts:
        yield part
        if part.name == "worker":
            yield _second(part, data)


def _second(worker: Part, data: Path) -> Part:
    gate, ready_file = data / f"{RESTARTED_WORKER}.gate", data / f"{RESTARTED_WORKER}.ready"
    words = [str(gate) if word == str(worker.gate) else word for word in worker.command()]

    def env() -> dict[str, str]:
        return {**worker.env(), "MAILROOM_READY_FILE": str(ready_file)}

    return replace(
        worker,
        name=RESTARTED_WORKER,
        argv=words,
        gate=gate,
        env=env,
        prepare=partial(ready_file.unlink, missing_ok=True),
        ready=partial(exists, ready_file),
    )
