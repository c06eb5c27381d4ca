"""Kill drills of inbound mail: workers die at every crash point and at random while mails arrive; then every mail must exist once.

Kills are SIGKILL to the worker and all its children: no handler runs, nothing is flushed. They do not cover a
power cut, because the kernel keeps what a dead process wrote.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from mailroom.audit.sent_mails import SentMail
from mailroom.crash_points import POINTS
from mailroom.operations.loops import wait_until
from mailroom.sandbox.drills.drill_archive import ArchiveResult, start_seal
from mailroom.sandbox.drills.drill_stack import DrillStack
from mailroom.sandbox.drills.kill_loop import PAUSE_S, READY_PATIENCE_S, DrillResult, kill_at_random
from mailroom.sandbox.drills.workers import ForkServer, Worker
from mailroom.sandbox.errors import StackError

Say = Callable[[str], None]

#: A mail whose worker is killed repeatedly waits for its message each time; then the backlog is processed.
DRAIN_PATIENCE_S = 300.0

_POINT_PATIENCE_S = 120.0

#: While workers are killed at random, the archive is sealed each time that mails were fed so often, once a second.
_SEAL_EVERY = 10

#: Reached only by a worker that is stopped while it works on mails.
_WHEN_STOPPED = frozenset({"before commit of release", "after commit of release"})


@dataclass(slots=True)
class Outcome(DrillResult):
    """The result of a drill, with the check's findings after it."""

    gone = "lost", "unknown object", "no item", "missing item", "stuck", "missing deposit", "unreadable", "not archived"
    twofold = "duplicate line", "duplicate item", "filed twice", "versions"

    sent: list[SentMail] = field(default_factory=list)
    archive: ArchiveResult = field(default_factory=ArchiveResult)

    @property
    def is_clean(self) -> bool:
        """Whether the drill is clean, and the archive verifies and is sealed to its last entry."""
        return super(Outcome, self).is_clean and not self.archive.reasons and not self.archive.unsealed

    @property
    def counted(self) -> dict[str, Any]:
        """How many mails were sent, and what the archive's verification found."""
        return {"mails": len(self.sent), "archive": self.archive.as_json()}


class Drill:
    """Kills workers on a drill stack, and checks the result."""

    def __init__(self, drill_stack: DrillStack, fork_server: ForkServer, *, seed: int, say: Say) -> None:
        self.outcome = Outcome(seed)
        self._drill_stack, self._fork_server, self._say = drill_stack, fork_server, say
        self._chance, self._fed = Random(seed), 0

    def kill_at_points(self, points: tuple[str, ...] = POINTS, *, mails: int) -> None:
        """Kill a worker at each of these crash points, with new mails each time.

        Raises:
            StackError: a worker did not die there: nothing reaches that point.
        """
        for point in points:
            self.outcome.sent += self._drill_stack.send(mails)
            worker = self._fork_server.fork(crash=point, beat_s=0.3, stop_patience_s=0.0)
            if point in _WHEN_STOPPED:
                self._stop_at_work(worker)
            if not worker.wait(within_s=_POINT_PATIENCE_S) or self._fork_server.deaths()[-1:] != [point]:
                worker.kill()
                raise StackError(f"no worker died {point}: the crash point was not reached")
            worker.kill()
            self.outcome.kills += 1
            self.outcome.points.append(point)
            self._say(f"killed {point}")

    def kill_at_random(self, *, kills: int, seconds: float, workers: int, in_hand: int) -> None:
        """Kill workers 0.05 to 2 s after their first mail, while mails keep arriving so that some are always in progress."""
        kill_at_random(
            self._fork_server.fork,
            self._at_work,
            self._end,
            lambda: self._feed(in_hand),
            chance=self._chance,
            kills=kills,
            seconds=seconds,
            workers=workers,
        )

    def prove(self, *, workers: int = 1) -> Outcome:
        """Let workers finish the rest, seal the archive, run check and verification, and return the result."""
        self.settle(workers=workers)
        self.outcome.found = self._drill_stack.check()
        self.outcome.archive = self._drill_stack.verify_archive()
        return self.outcome

    def settle(self, *, workers: int = 1) -> None:
        """Let workers finish the rest, record how long they took, and seal the archive."""
        alive = [self._fork_server.fork() for _ in range(workers)]
        self.outcome.drained_s = None
        try:
            self.outcome.drained_s = self._drill_stack.drain(self.outcome.sent, within_s=DRAIN_PATIENCE_S)
        except TimeoutError as error:
            self._say(f"not drained: {error}")
        try:
            self._drill_stack.seal()
        except StackError as error:
            self._say(str(error))
        for worker in alive:
            worker.stop()
        for worker in alive:
            worker.wait(within_s=15)
            worker.kill()

    def _stop_at_work(self, worker: Worker) -> None:
        """Stop a worker as soon as it works on a mail."""
        wait_until(lambda: self._at_work(worker), within_s=READY_PATIENCE_S, every_s=PAUSE_S)
        worker.stop()

    def _end(self, worker: Worker) -> None:
        self.outcome.kills_at_work += self._at_work(worker)
        worker.kill()
        self.outcome.kills += 1
        if self.outcome.kills % 25 == 0:
            self._say(f"{self.outcome.kills} kills, {len(self.outcome.sent)} mails")

    def _feed(self, in_hand: int) -> None:
        self._fed += 1
        if self._fed % _SEAL_EVERY == 0:
            start_seal(self._drill_stack.facts["prefect_api_url"])
        missing = in_hand - len(self._drill_stack.unfinished(self.outcome.sent))
        if missing > 0:
            self.outcome.sent += self._drill_stack.send(missing)

    def _at_work(self, worker: Worker) -> bool:
        """Return whether a worker is processing a mail."""
        mine = "select 1 from inbound_email where state = 'processing' and worker like %s limit 1"
        return bool(self._drill_stack.ask(mine, f"%-{worker.process.pid}"))
