"""A part of the stack and its current process.

waiting -> starting -> ready                      (a part that runs once: done)
               \\________\\___-> failed             the stack ends: at its start by any part, later by one that cannot heal
                          \\__-> restarting -> ready     it died, and is started again (see `healing`)
                                     \\____-> given_up   it died too often
                                stopped           in the reverse of the order of starting
"""

import subprocess
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from mailroom.sandbox.stack.deaths import Deaths
from mailroom.sandbox.stack.parts import Part
from mailroom.sandbox.stack.processes import ProcessId


class State(StrEnum):
    """The state of a part, or of the whole stack."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    DONE = "done"
    RESTARTING = "restarting"
    GIVEN_UP = "given_up"
    FAILED = "failed"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(slots=True)
class Running:
    """A part and its current process; None while it waits for its start or restart."""

    part: Part
    log: Path
    state: State = State.WAITING
    process: subprocess.Popen[bytes] | None = None
    identity: ProcessId | None = None
    since: float = 0.0
    kill_at: float = 0.0
    again_at: float = 0.0
    deaths: Deaths = field(default_factory=Deaths)

    @property
    def is_up(self) -> bool:
        """Whether parts that wait for it may start."""
        return self.state in (State.READY, State.DONE)

    @property
    def lives(self) -> bool:
        """Whether there is a process to stop."""
        return self.process is not None and self.state not in (State.DONE, State.FAILED, State.STOPPED)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON values for `status` and for the next start."""
        known = self.identity or ProcessId(0, 0)
        described = {"name": self.part.name, "state": str(self.state), "port": self.part.port, "log": str(self.log)}
        return (
            described
            | known.as_json()
            | {"stop_signal": self.part.stop_signal.value, "heals": self.part.heals}
            | self.deaths.as_json()
        )
