"""Is everything well? One look at the installation: rows with a level, a value and what to do.

Each source is asked in a thread, and all within one deadline: what does not answer in time is said, and hides nothing else. A
source that still hangs from an earlier look is not asked again.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mailroom.domain.errors import MailroomError
from mailroom.domain.texts import Text


class Level(StrEnum):
    """Whether a row needs a person."""

    GOOD = "good"
    #: Not wrong by itself; a person should look.
    LOOK = "look"
    BAD = "bad"
    #: It could not be found out.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """One line of the page. What is no `Text` is data. `since` is when it began or last happened, `link` the page to look at."""

    group: str
    name: str
    level: Level
    value: str
    since: datetime | None = None
    what_to_do: str | None = None
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """What one look found."""

    at: datetime
    rows: Sequence[StatusRow]

    @property
    def troubles(self) -> Sequence[StatusRow]:
        """The rows that need a person, the worst first."""
        order = (Level.BAD, Level.UNKNOWN, Level.LOOK)
        return [row for level in order for row in self.rows if row.level is level]

    @property
    def is_well(self) -> bool:
        """Whether nothing needs a person."""
        return not self.troubles

    @property
    def sentence(self) -> str:
        """The whole look in one sentence."""
        if not self.troubles:
            return Text("Everything is well.")
        return Text.counted("One thing needs you.", "%(count)s things need you.", len(self.troubles))


Source = Callable[[datetime], Sequence[StatusRow]]
"""Returns rows for the present time; it may raise any `MailroomError`."""

#: A look ends after this time, whatever hangs.
PATIENCE_S = 1.5


class StatusReader:
    """Looks at all sources at once."""

    def __init__(self, sources: Mapping[str, Source], *, patience_s: float = PATIENCE_S) -> None:
        self._sources, self._patience_s = sources, patience_s
        self._threads = ThreadPoolExecutor(max(len(sources), 1), thread_name_prefix="status")
        self._lock = threading.Lock()
        self._asked: dict[str, Future[Sequence[StatusRow]]] = {}

    def look(self, *, now: datetime) -> Status:
        """Return the rows of all sources, in their order."""
        with self._lock:
            for name, source in self._sources.items():
                before = self._asked.get(name)
                if before is None or before.done():
                    self._asked[name] = self._threads.submit(source, now)
            asked = dict(self._asked)
        wait(asked.values(), timeout=self._patience_s)
        return Status(now, [row for name, future in asked.items() for row in _rows(name, future)])


def _rows(name: str, future: Future[Sequence[StatusRow]]) -> Sequence[StatusRow]:
    if not future.done():
        return [_unknown(name, Text("does not answer in time"))]
    try:
        return future.result()
    except MailroomError as error:
        return [_unknown(name, error.message)]
    except Exception as error:  # noqa: BLE001 - one source must not hide the others
        return [_unknown(name, Text("could not be found out (%(error)s)", error=type(error).__name__))]


def _unknown(name: str, why: str) -> StatusRow:
    remedy = Text("see that it runs and can be reached; everything else on this page is as it says")
    return StatusRow(group=name, name=name, level=Level.UNKNOWN, value=why, what_to_do=remedy)
