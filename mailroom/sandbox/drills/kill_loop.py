"""The kill loop of drills: starts workers, kills each after a random time of work, and replaces it."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar

from mailroom.sandbox.drills.workers import Worker
from mailroom.sandbox.errors import StackError

READY_PATIENCE_S = 120.0
PAUSE_S = 0.01

_FEED_EVERY_S = 1.0
#: One kill in ten may come while the worker still starts.
_EARLY = 0.1
_IDLE_S = 30.0
_LOOK_EVERY_S = 0.1


@dataclass(slots=True)
class DrillResult:
    """The result of a drill: kills, and the check's findings after it; each kind of drill adds its counts."""

    #: The kinds of violations of `mailroom check` for lost mails, and for mails that exist twice.
    gone: ClassVar[tuple[str, ...]]
    twofold: ClassVar[tuple[str, ...]]

    seed: int
    kills: int = 0
    kills_at_work: int = 0
    points: list[str] = field(default_factory=list)
    drained_s: float | None = None
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """The number of lost mails or parts of mails."""
        return wrong(self.found, self.gone)

    @property
    def twice(self) -> int:
        """The number of mails or parts of mails that exist more than once."""
        return wrong(self.found, self.twofold)

    @property
    def proves_nothing(self) -> bool:
        """Whether it killed nothing, or only at random and never while a mail was in progress."""
        return self.kills == 0 or (self.kills > len(self.points) and self.kills_at_work == 0)

    @property
    def has_ended(self) -> bool:
        """Whether all was drained in time."""
        return self.drained_s is not None

    @property
    def is_clean(self) -> bool:
        """Whether kills hit mails in progress, every mail has ended, and the check found no violations."""
        return not self.proves_nothing and self.has_ended and bool(self.found.get("clean"))

    @property
    def counted(self) -> dict[str, Any]:
        """Further counts of this kind of drill, by name."""
        return {}

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "kills": self.kills,
            "kills_at_work": self.kills_at_work,
            "proves_nothing": self.proves_nothing,
            "crash_points": len(set(self.points)),
            **self.counted,
            "lost": self.lost,
            "duplicates": self.twice,
            "drained_s": None if self.drained_s is None else round(self.drained_s, 1),
            "seed": self.seed,
            "clean": self.is_clean,
            "check": self.found,
        }


def wrong(report: Mapping[str, Any], kinds: Collection[str]) -> int:
    """Return the number of violations of these kinds that `mailroom check` found."""
    counts: Mapping[str, int] = report.get("wrong", {})
    return sum(counts.get(kind, 0) for kind in kinds)


def kill_at_random(
    begin: Callable[[], Worker],
    is_at_work: Callable[[Worker], bool],
    end: Callable[[Worker], None],
    feed: Callable[[], None],
    *,
    chance: Random,
    kills: int,
    seconds: float,
    workers: int,
) -> None:
    """Kill up to `kills` workers within `seconds`, keeping `workers` running; `end` kills and counts.

    A worker lives 0.05 to 2 s from its first mail on, or after it has waited in vain for one. `feed` is
    called each second, so that there is always work.

    Raises:
        StackError: a worker ended by itself.
    """
    deadline, fed_at, left = time.monotonic() + seconds, 0.0, kills
    lives: list[_Life] = []
    while left > 0 and time.monotonic() < deadline:
        if time.monotonic() - fed_at > _FEED_EVERY_S:
            feed()
            fed_at = time.monotonic()
        lives += [_begin(begin, chance) for _ in range(workers - len(lives))]
        for over in [life for life in lives if life.is_over(is_at_work)]:
            if not over.worker.is_alive():
                raise StackError("a worker ended unexpectedly")
            end(over.worker)
            left -= 1
            lives.remove(over)
        time.sleep(PAUSE_S)
    for life in lives:
        life.worker.kill()


def _begin(begin: Callable[[], Worker], chance: Random) -> "_Life":
    early = chance.random() < _EARLY
    return _Life(begin(), lasts_s=chance.uniform(0.05, 2.0), early=early)


class _Life:
    """One worker, to be killed `lasts_s` after its first mail or, if `early`, after its start."""

    def __init__(self, worker: Worker, *, lasts_s: float, early: bool) -> None:
        self.worker, self._lasts_s = worker, lasts_s
        self._began: float | None = time.monotonic() if early else None
        self._forked = self._looked = time.monotonic()
        self._ready: float | None = None

    def is_over(self, is_at_work: Callable[[Worker], bool]) -> bool:
        """Return whether to kill it now; also true if it ended by itself or does not get ready."""
        now = time.monotonic()
        if self._began is not None:
            return now - self._began >= self._lasts_s
        if self._ready is None and self.worker.is_ready():
            self._ready = now
        if self._ready is None:
            return not self.worker.is_alive() or now - self._forked > READY_PATIENCE_S
        if now - self._looked >= _LOOK_EVERY_S:
            self._looked = now
            if now - self._ready > _IDLE_S or is_at_work(self.worker):
                self._began = now
        return False
