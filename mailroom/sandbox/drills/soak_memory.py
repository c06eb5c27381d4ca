"""Resident memory of processes over time, and its growth: the last quarter of a process's run against the first.

Each process is measured separately. PostgreSQL, which is many processes with shared buffers of a fixed size, is measured by
the sum of the private memory of its processes (RssAnon, proc(5)): its buffers fill up to their size and are not a leak.
"""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

#: The limit of the last quarter's memory, as a multiple of the first quarter's.
MOST_GROWTH = 1.10
#: A shorter measurement does not show leaks: caches and pools still fill.
SHORTEST_S = 10 * 60.0
#: Time for a process to do each kind of work some times; memory that it allocates until then is not growth.
WARM_UP_S = 3 * 60.0
_TOO_SHORT = f"measured for less than {SHORTEST_S / 60:.0f} minutes"

POSTGRES = "postgres"
EMULATOR = "aws"
_WORKERS = "worker"
_EVERY_S = 5.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Growth:
    """Average memory of one process, in bytes, in the first and last quarter of its longest measured run."""

    name: str
    first: float
    last: float
    watched_s: float
    why_not: str = ""

    @property
    def is_judged(self) -> bool:
        """Whether its growth is judged."""
        return not self.why_not

    @property
    def is_too_short(self) -> bool:
        """Whether a longer soak would judge it."""
        return self.why_not == _TOO_SHORT

    @property
    def ratio(self) -> float:
        """The last quarter's memory as a multiple of the first quarter's."""
        return self.last / self.first if self.first else 1.0

    @property
    def fault(self) -> str:
        """The sentence that says what is wrong; empty if nothing is."""
        if not self.is_judged or self.ratio <= MOST_GROWTH:
            return ""
        return (
            f"{self.name} uses {self.ratio:.3f} times the memory of its first quarter; the limit is {MOST_GROWTH:.2f}"
        )

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return {
            "process": self.name,
            "first_mb": round(self.first / _MB, 1),
            "last_mb": round(self.last / _MB, 1),
            "ratio": round(self.ratio, 3),
            "watched_s": round(self.watched_s),
            "judged": self.is_judged,
            "why_not": self.why_not,
        }


@dataclass(slots=True)
class Memory:
    """Samples of processes: a series for each run of a process, by its name and id."""

    series: dict[tuple[str, int], list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def sample(self, pids: Mapping[str, int], at: float) -> None:
        """Sample the memory of each of these processes, and of each parser of a worker."""
        for name, pid in pids.items():
            if held := _private_of_all(pid) if name == POSTGRES else _resident(pid):
                self.series[name, pid].append((at, held))
            parsers = [one for one in map(_resident, _children(pid)) if one] if name.startswith(_WORKERS) else []
            if parsers:
                self.series[f"{name}, a parser", pid].append((at, fmean(parsers)))

    def growths(self, *, restarted: Mapping[str, int], began: float) -> list[Growth]:
        """Return the growth in the longest run of each process; `restarted` counts its restarts, `began` is the start of the load."""
        longest: dict[str, list[tuple[float, float]]] = {}
        for (name, _), samples in self.series.items():
            since = max(samples[0][0], began) + WARM_UP_S
            # A short soak has no time to warm up; then everything is shown and nothing judged.
            watched = [one for one in samples if one[0] >= since] or samples
            if name not in longest or _length(watched) > _length(longest[name]):
                longest[name] = watched
        return [_growth(name, samples, restarted) for name, samples in longest.items()]


@contextmanager
def sampled(memory: Memory, pids: Callable[[], Mapping[str, int]]) -> Iterator[None]:
    """Sample processes for the duration of a block."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_EVERY_S):
            memory.sample(pids(), time.monotonic())

    thread = threading.Thread(target=watch, name="memory", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _growth(name: str, samples: Sequence[tuple[float, float]], restarted: Mapping[str, int]) -> Growth:
    length, began = _length(samples), samples[0][0]
    first = [held for at, held in samples if at <= began + length / 4]
    last = [held for at, held in samples if at >= began + length * 3 / 4]
    why_not = ""
    if name == EMULATOR:
        why_not = "keeps all mail in memory"
    elif length < SHORTEST_S:
        often = any(name.startswith(one) and times > 1 for one, times in restarted.items())
        why_not = "restarted too often" if often else _TOO_SHORT
    return Growth(name, fmean(first), fmean(last), length, why_not)


def _length(samples: Sequence[tuple[float, float]]) -> float:
    return samples[-1][0] - samples[0][0]


def _resident(pid: int) -> float:
    """Return the resident memory of a process, in bytes; 0 if it is gone."""
    try:
        return float(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE)
    except OSError:
        return 0.0


def _private_of_all(pid: int) -> float:
    """Return the private memory of a process and its children, in bytes."""
    return sum(_private(one) for one in [pid, *_children(pid)])


def _private(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(float(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def _children(pid: int) -> list[int]:
    """Return the live children of a process."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _parent(path) == pid]


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
