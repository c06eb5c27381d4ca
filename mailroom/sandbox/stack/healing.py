"""Healing: a part that dies after the start is restarted, alone; the parts that use it keep running.

It is restarted once its pause is over (see `deaths`), its old children have ended, and the parts that it needs are up.
So PostgreSQL's old children end before new ones start, and a worker does not fail because its server died with it.
"""

import signal
import time
from collections.abc import Callable, Collection, Mapping

from mailroom.sandbox.errors import StackError
from mailroom.sandbox.stack.deaths import MOST_DEATHS, WITHIN_S
from mailroom.sandbox.stack.processes import ProcessId, collect, collect_ended, ending, has_exited, orphans
from mailroom.sandbox.stack.running import Running, State

#: Seconds in which children of a dead part may end by themselves before they are killed.
_ORPHANS_GRACE_S = 5.0


class Healing:
    """Restarts the parts of a started stack that heal; `start` starts one, `foundations` returns the parts that it needs."""

    def __init__(
        self,
        running: Mapping[str, Running],
        *,
        start: Callable[[Running], None],
        foundations: Callable[[Running], Collection[str]],
        strangers: Collection[int],
        say: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        """Take the parts, and the children of this process that belong to none of them (`strangers`)."""
        self._running, self._start, self._foundations = running, start, foundations
        self._strangers, self._say, self._changed = strangers, say, changed
        self._orphans: dict[ProcessId, float] = {}

    def look(self) -> None:
        """Run one round of healing; returns within seconds."""
        for running in self._running.values():
            if running.part.heals and running.state is State.READY:
                self._check(running)
        down = [running for running in self._running.values() if running.state is State.RESTARTING]
        collect_ended(self._known())
        nothing_left = not down or self._end_orphans()
        for running in down:
            if running.process is not None:
                self._check_restart(running)
            elif nothing_left and time.monotonic() >= running.again_at and self._stands(running):
                self._start_again(running)

    def left_behind(self) -> list[ProcessId]:
        """Return processes of dead parts that still live."""
        return orphans(self._known())

    def _known(self) -> set[int]:
        return {running.process.pid for running in self._running.values() if running.process} | set(self._strangers)

    def _check(self, running: Running) -> None:
        """Record a death; a part that no longer serves and does not end gets its stop signal, and is killed later."""
        assert running.process is not None
        assert running.identity is not None
        if has_exited(running.process):
            self._note_death(running, ending(collect(running.process)))
        elif not running.part.is_leaving():
            running.kill_at = 0.0
        elif not running.kill_at:
            running.kill_at = time.monotonic() + running.part.grace_s
            running.identity.signal(running.part.stop_signal)
        elif time.monotonic() > running.kill_at:
            running.identity.signal(signal.SIGKILL, group=True)

    def _check_restart(self, running: Running) -> None:
        assert running.process is not None
        assert running.identity is not None
        if has_exited(running.process):
            self._note_death(running, ending(collect(running.process)))
        elif running.part.ready():
            running.state = State.READY
            took = time.monotonic() - running.since
            self._say(f"{running.part.name:<12} ready again {took:.1f} s after the restart")
            self._changed()
        elif time.monotonic() - running.since > running.part.patience_s:
            running.identity.signal(signal.SIGKILL, group=True)
            collect(running.process)
            self._note_death(running, f"was not ready after {running.part.patience_s:.0f} s")

    def _stands(self, running: Running) -> bool:
        return all(self._running[name].is_up for name in self._foundations(running))

    def _start_again(self, running: Running) -> None:
        running.since, running.kill_at = time.monotonic(), 0.0
        running.deaths.restarts += 1
        try:
            self._start(running)
        except StackError as error:
            self._note_death(running, str(error))

    def _note_death(self, running: Running, what: str) -> None:
        name, now = running.part.name, time.monotonic()
        running.process = running.identity = None
        pause_s = running.deaths.note(what, now=now)
        if pause_s is None:
            running.state = State.GIVEN_UP
            self._say(f"{name} {what}, and {given_up(str(running.log))}")
        else:
            running.state, running.again_at = State.RESTARTING, now + pause_s
            self._say(f"{name} {what}; restarting in {pause_s:.0f} s (see {running.log})")
        self._changed()

    def _end_orphans(self) -> bool:
        """Return whether no process of dead parts is left; kill those that stay too long."""
        now = time.monotonic()
        self._orphans = {one: self._orphans.get(one, now) for one in self.left_behind()}
        for process, seen_at in self._orphans.items():
            if now - seen_at > _ORPHANS_GRACE_S:
                process.signal(signal.SIGKILL)
        return not self._orphans


def given_up(log: str) -> str:
    """Return the sentence that says what to do about a part that died too often."""
    return (
        f"is not restarted after {MOST_DEATHS + 1} exits within {WITHIN_S / 60:.0f} minutes; see {log}, "
        "correct the cause, then restart the stack: `mailroom down`, `mailroom up`"
    )
