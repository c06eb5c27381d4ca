"""A clock that a test owns, for threads and for PostgreSQL: nothing is left to the machine's speed.

One thread works at a time. When all of them sleep, the clock goes to the first that wakes. PostgreSQL reads the same
clock: a schema before its own has another `clock_timestamp()`.
"""

import heapq
import threading
from collections.abc import Callable, Sequence
from itertools import count

from sqlalchemy import Engine, text

from tests.support.tampering import tampering

_BEGIN = 1_000_000.0

_OWN_CLOCK = """
create schema lockstep;
create table lockstep.clock (seconds float not null);
insert into lockstep.clock values (0);
create function lockstep.clock_timestamp() returns timestamptz language sql volatile
    as 'select to_timestamp(seconds) from lockstep.clock';
grant usage on schema lockstep to public;
grant select, update on lockstep.clock to public;
do 'begin execute format(''alter database %I set search_path = lockstep, pg_catalog, public'', current_database()); end';
"""


class Lockstep:
    """The clock: stands in for the module `time` too."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._now = _BEGIN
        self._order = count()
        self._sleeping: list[tuple[float, int, threading.Event]] = []

    def monotonic(self) -> float:
        """Return the time, in seconds."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let other threads work until `seconds` later."""
        woken = threading.Event()
        heapq.heappush(self._sleeping, (self._now + max(0.0, seconds), next(self._order), woken))
        self._wake_next()
        woken.wait()

    def run(self, *works: Callable[[], object]) -> None:
        """Run each of these in a thread, until all have ended; re-raise what one raises."""
        faults: list[BaseException] = []
        ended = threading.Semaphore(0)

        def working(work: Callable[[], object], permit: threading.Event) -> None:
            permit.wait()
            try:
                work()
            except BaseException as fault:  # noqa: BLE001 - raised again below
                faults.append(fault)
            finally:
                ended.release()
                self._wake_next()

        for work in works:
            permit = threading.Event()
            heapq.heappush(self._sleeping, (self._now, next(self._order), permit))
            threading.Thread(target=working, args=[work, permit], daemon=True).start()
        self._wake_next()
        for _ in works:
            ended.acquire()
        if faults:
            raise faults[0]

    def set(self, now: float) -> None:
        """Set the time, for PostgreSQL as well."""
        self._now = now
        with self.engine.begin() as connection:
            connection.execute(text("update lockstep.clock set seconds = :now"), {"now": now})

    def _wake_next(self) -> None:
        if self._sleeping:
            at, _, woken = heapq.heappop(self._sleeping)
            self.set(at)
            woken.set()


def lockstep(engine: Engine) -> Lockstep:
    """Return a clock that all sessions of the engine use from now on."""
    with tampering(engine) as connection:
        connection.execute(text(_OWN_CLOCK))
    # The sessions that are open have the old path.
    engine.dispose()
    clock = Lockstep(engine)
    clock.set(_BEGIN)
    return clock


def most_in(window_s: float, moments: Sequence[float]) -> int:
    """Return how many of these moments fall into one window, at most."""
    return max(sum(begin <= moment < begin + window_s for moment in moments) for begin in moments)
