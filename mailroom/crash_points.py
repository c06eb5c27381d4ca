"""Crash points: named places before and after every side effect and every commit, at which a drill kills the process.

In production a crash point is a function that does nothing, bound when this module is imported (60 ns for a call). It kills
only in a process that was started with `MAILROOM_CRASH_DRILL` in its environment; the variable names the file in which
each kill is recorded.
"""

import os
import signal
from pathlib import Path
from threading import Lock

VARIABLE = "MAILROOM_CRASH_DRILL"

#: Side effects outside the process, in the order of a received mail's steps. Each has a point before and one after it.
EFFECTS = (
    "receive",
    "commit of register",
    "create run",
    "execute",
    "commit of begin",
    "fetch",
    "unwrap",
    "commit of routed",
    "put",
    "second copy",
    "adopt",
    "commit of record",
    "commit of deposited",
    "commit of file",
    "commit of close",
    "report",
    "delete",
    "commit of beat",
    "hide",
    "commit of release",
)

#: The same of a batch, besides those that it shares: receive, create run, execute, delete, hide.
SENDING = (
    "commit of accept",
    "commit of take",
    "post",
    "commit of published",
    "commit of carried",
    "commit of plan",
    "commit of claim",
    "commit of issue",
    "send to provider",
    "commit of settle",
    "commit of defer",
    "commit of strand",
    "commit of resend",
    "commit of remind",
)

#: Steps that no drill causes: the audit of the archive, a restore, a rebuild, an operator's command, an unreadable message, a
#: provider's refusals; and the counter that detects restores, which advances every few seconds, even in a process that only starts.
RARE = (
    "commit of advance",
    "commit of recognise",
    "commit of hold",
    "commit of resume",
    "commit of withhold",
    "commit of pause",
    "commit of refusals",
    "commit of replay",
    "repair",
    "audited",
    "commit of verified",
    "commit of repaired",
    "commit of damage",
    "commit of pieces",
    "commit of rule",
    "commit of legal hold",
    "commit of journal",
    "commit of rebuild",
    "commit of put back",
    "commit of copies",
    "commit of withdrawn",
    "commit of archived",
    "commit of finish",
)

#: Those of sealing, in their order.
SEALING = (
    "seal",
    "sealed entries",
    "commit of seal",
    "token",
    "commit of token",
    "witness",
    "commit of witness",
)

#: Names of all crash points of a received mail, such as `after commit of file`, and of those that only a batch has.
POINTS = tuple(f"{when} {effect}" for effect in EFFECTS for when in ("before", "after"))
SENDING_POINTS = tuple(f"{when} {effect}" for effect in SENDING for when in ("before", "after"))
SEALING_POINTS = tuple(f"{when} {effect}" for effect in SEALING for when in ("before", "after"))
_RARE_POINTS = tuple(f"{when} {effect}" for effect in RARE for when in ("before", "after"))


class _ArmedPoint:
    """The armed crash point of this process, and how many passes are left before it kills."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.point = ""
        self.left = 0
        self.blow = signal.SIGKILL

    def fire(self, when: str, effect: str) -> None:
        """Send this process the signal if this pass is the armed one; SIGKILL runs no handler and flushes nothing."""
        if f"{when} {effect}" != self.point:
            return
        with self._lock:
            self.left -= 1
            if self.left == 0:
                with Path(os.environ[VARIABLE]).open("a") as deaths:
                    deaths.write(f"{self.point}\n")
                os.kill(os.getpid(), self.blow)


_armed = _ArmedPoint()


def arm(point: str, *, nth: int = 1, blow: signal.Signals = signal.SIGKILL) -> None:
    """Send this process the signal `blow` when it passes `point` for the nth time; "" disarms.

    SIGTERM tests an orderly stop from there, SIGSTOP a process that continues after others took its leases.

    Raises:
        ValueError: there is no such crash point.
    """
    if point and point not in POINTS + SENDING_POINTS + SEALING_POINTS + _RARE_POINTS:
        raise ValueError(f"no crash point is called {point!r}")
    _armed.point, _armed.left, _armed.blow = point, nth, blow


def _pass(_when: str, _effect: str) -> None:
    """Do nothing."""


crash_point = _armed.fire if VARIABLE in os.environ else _pass
