"""The supervisor: starts each part once those that it waits for are ready, watches them, and stops all together.

A failure before all are ready stops the whole stack; later a part that dies is restarted (see `healing`), if it `heals`.
It uses one thread, because the kernel ends a child with the thread that started it.
"""

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from mailroom.sandbox.errors import StackError
from mailroom.sandbox.stack.folder import DataFolder, write_json
from mailroom.sandbox.stack.healing import Healing
from mailroom.sandbox.stack.parts import Part
from mailroom.sandbox.stack.ports import LOOPBACK
from mailroom.sandbox.stack.processes import (
    RUN_VARIABLE,
    ProcessId,
    adopting,
    carriers,
    collect,
    ending,
    has_exited,
    last_lines,
    start,
)
from mailroom.sandbox.stack.running import Running, State

_STARTING_PAUSE_S = 0.05
_WATCHING_PAUSE_S = 0.25

Say = Callable[[str], None]


class Supervisor:
    """The parts of one start, in one data folder that this process has locked."""

    def __init__(self, parts: list[Part], *, folder: DataFolder, env: Mapping[str, str], home: Path, say: Say) -> None:
        self.state = State.STARTING
        self._folder, self._home, self._say = folder, home, say
        self._word = secrets.token_hex(16)
        self._env = {**env, RUN_VARIABLE: self._word}
        self._running = {part.name: Running(part, folder.logs / f"{part.name}.log") for part in parts}
        self._asked_to_stop = False

    def run(self, when_ready: Callable[[], None]) -> None:
        """Start everything, call `when_ready`, and run until a stop signal; nothing is left running.

        Raises:
            StackError: a part failed before all were ready, or one died that is not restarted; the message names it.
        """
        with self._signals(), adopting() as strangers:
            healing = self._healing(strangers)
            try:
                self._start_all()
                if not self._asked_to_stop:
                    self.state = State.READY
                    when_ready()
                    self._write()
                    self._watch(healing)
            except BaseException:
                self.state = State.FAILED
                raise
            finally:
                if self._asked_to_stop:
                    self.state = State.STOPPING
                self._stop_all()
                for process in (*carriers(self._word), *healing.left_behind()):
                    process.signal(signal.SIGKILL)

    def parts_json(self) -> list[dict[str, Any]]:
        """Return the current state of the parts."""
        return [running.as_json() for running in self._running.values()]

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(_number: int, _frame: FrameType | None) -> None:
            self._asked_to_stop = True

        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            # Under nohup the user wants the stack to outlive the terminal.
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _start_all(self) -> None:
        while not self._asked_to_stop and not all(running.is_up for running in self._running.values()):
            for running in self._running.values():
                if self._asked_to_stop:
                    return
                if running.state is State.WAITING:
                    self._advance(running)
                elif running.state is State.STARTING:
                    self._check_start(running)
            self._check_lives()
            time.sleep(_STARTING_PAUSE_S)

    def _advance(self, running: Running) -> None:
        """Start a part; one with a gate was started early to import its module, and its gate is opened now."""
        part, now = running.part, time.monotonic()
        has_turn = all(self._running[name].is_up for name in part.after)
        if running.process is None and (has_turn or part.gate):
            self._start(running)
        if has_turn:
            if part.gate:
                write_json(part.gate, dict(part.env()))
            running.since, running.state = now, State.STARTING
            self._write()

    def _start(self, running: Running, *, again: bool = False) -> None:
        part = running.part
        if part.gate:
            part.gate.unlink(missing_ok=True)
        part.prepare()
        try:
            running.process = start(
                part.command(),
                env={**self._env, **part.env()},
                folder=self._home,
                log=running.log,
                last_signal=part.stop_signal,
                again=again,
            )
        except OSError as error:
            raise StackError(f"{part.name} cannot be started: {error}") from error
        running.identity = ProcessId.of(running.process.pid)
        self._write()

    def _start_again(self, running: Running) -> None:
        self._start(running, again=True)
        if running.part.gate:
            write_json(running.part.gate, dict(running.part.env()))

    def _healing(self, strangers: set[int]) -> Healing:
        return Healing(
            self._running,
            start=self._start_again,
            foundations=lambda running: self._foundations(running.part),
            strangers=strangers,
            say=self._say,
            changed=self._write,
        )

    def _check_start(self, running: Running) -> None:
        part = running.part
        assert running.process is not None
        if has_exited(running.process):
            code = collect(running.process)
            if not part.once or code != 0:
                raise self._failure(running, ending(code))
            self._arrive(running, State.DONE)
        elif not part.once and part.ready():
            self._arrive(running, State.READY)
        if running.state is State.STARTING and time.monotonic() - running.since > part.patience_s:
            raise self._failure(running, f"was not ready after {part.patience_s:.0f} s")

    def _arrive(self, running: Running, state: State) -> None:
        running.state = state
        where = f"   {LOOPBACK}:{running.part.port}" if running.part.port else ""
        self._say(f"{running.part.name:<12} {state:<6} {time.monotonic() - running.since:5.1f} s{where}")
        self._write()

    def _watch(self, healing: Healing) -> None:
        while not self._asked_to_stop:
            healing.look()
            self._check_lives()
            time.sleep(_WATCHING_PAUSE_S)

    def _check_lives(self) -> None:
        """Raise if a part died: any during the start, later only one that is not healed."""
        for running in self._running.values():
            heals = running.part.heals and self.state is State.READY
            settled = running.state in (State.READY, State.WAITING)
            if settled and not heals and running.process and has_exited(running.process):
                raise self._failure(running, ending(collect(running.process)) + self._loss(running))

    def _loss(self, running: Running) -> str:
        return f": {running.part.loss}" if running.part.loss and self.state is State.READY else ""

    def _failure(self, running: Running, what: str) -> StackError:
        name = running.part.name
        lines = last_lines(running.log)
        self._say(f"{name} {what}; " + (f"the last lines of {running.log}:" if lines else f"{running.log} is empty"))
        for line in lines:
            self._say(f"  | {line}")
        if running.process and running.process.returncode is not None:
            running.state = State.FAILED
        return StackError(f"{name} {what}; see {running.log}")

    def _stop_all(self) -> None:
        """Stop each part once all parts that wait for it have ended."""
        while living := [running for running in self._running.values() if running.lives]:
            needed = {name for running in living for name in self._foundations(running.part)}
            for running in living:
                if running.state is not State.STOPPING and running.part.name not in needed:
                    self._ask_to_stop(running)
                elif running.state is State.STOPPING:
                    self._finish(running)
            time.sleep(_STARTING_PAUSE_S)

    def _foundations(self, part: Part) -> set[str]:
        """Return all parts that `part` depends on, directly or through others, finished steps included."""
        direct = set(part.after)
        return direct.union(*(self._foundations(self._running[name].part) for name in direct))

    def _ask_to_stop(self, running: Running) -> None:
        assert running.process is not None
        running.state, running.kill_at = State.STOPPING, time.monotonic() + running.part.grace_s
        if not has_exited(running.process):
            running.process.send_signal(running.part.stop_signal)
        self._write()

    def _finish(self, running: Running) -> None:
        assert running.process is not None
        assert running.identity is not None
        if has_exited(running.process):
            collect(running.process)
            running.state = State.STOPPED
        elif time.monotonic() > running.kill_at:
            self._say(f"{running.part.name:<12} did not stop within {running.part.grace_s:.0f} s and was killed")
            running.identity.signal(signal.SIGKILL, group=True)
            running.kill_at = float("inf")

    def _write(self) -> None:
        own = ProcessId.of(os.getpid()).as_json()
        run = {"state": str(self.state), "word": self._word, "supervisor": own, "parts": self.parts_json()}
        write_json(self._folder.run_file, run)
