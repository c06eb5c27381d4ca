"""The one engine of a process for each database, and how many connections it keeps."""

import threading
from dataclasses import dataclass
from weakref import WeakValueDictionary

from sqlalchemy import Engine

from mailroom.adapters.postgres.engine import make_engine


@dataclass(frozen=True, slots=True)
class Budget:
    """Connections that an engine keeps open, and the number that it adds under load."""

    kept: int
    more: int


WORKER, LISTENERS, CHILD = Budget(20, 0), Budget(6, 4), Budget(2, 3)
SERVICE, COMMAND = Budget(10, 10), Budget(2, 2)

_engines: WeakValueDictionary[tuple[str, Budget], Engine] = WeakValueDictionary()
_making = threading.Lock()
_budget = SERVICE


def keep_to(budget: Budget) -> None:
    """Set the budget of engines that this process creates from now on; each program calls it first."""
    global _budget
    _budget = budget


def engine_of(url: str, budget: Budget | None = None) -> Engine:
    """Return this process's engine for the database; the same one is returned as long as anything uses it.

    Without `budget` the process's budget applies.
    """
    within = budget or _budget
    with _making:
        engine = _engines.get((url, within))
        if engine is None:
            engine = _engines[url, within] = make_engine(url, pool_size=within.kept, max_overflow=within.more)
        return engine
