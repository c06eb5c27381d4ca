"""Kill drill of outbound mail: the service and the workers die at every crash point of sending, and at random.

At the end each message was received once, or it is `unknown`, and then at most once.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import httpx

from mailroom.domain.outbound.message import UNANSWERED, WAITING
from mailroom.operations.loops import wait_until
from mailroom.sandbox.drills.drill_batches import DrillBatches
from mailroom.sandbox.drills.kill_loop import PAUSE_S, DrillResult, kill_at_random
from mailroom.sandbox.drills.workers import Worker
from mailroom.sandbox.errors import StackError
from mailroom.sandbox.stack.ports import is_connected

Say = Callable[[str], None]

_AGAIN = "commit of resend"

#: Crash points of the service: the commits of a request and of its relay.
OF_THE_SERVICE = ("commit of accept", "commit of take", "post", "commit of published")
#: Crash points of workers, which also accept plain mails.
OF_A_WORKER = (
    _AGAIN,
    "commit of accept",
    "create run",
    "commit of carried",
    "execute",
    "commit of strand",
    "commit of plan",
    "commit of claim",
    "commit of issue",
    "send to provider",
    "commit of settle",
    "commit of defer",
    "commit of remind",
    "delete",
)

#: A worker's intervals: shorter than in drills of inbound mail, because a batch that lost its worker waits this long.
_QUICK: dict[str, Any] = {"visibility_s": 2, "beat_s": 0.4, "stop_patience_s": 0.0}

_PATIENCE_S = 40.0
#: Mails of each batch that is fed.
_A_BATCH = 100
_FEW = 1


@dataclass(slots=True)
class SendOutcome(DrillResult):
    """The result of a drill, with the check's findings. A random kill was at work if it left a mail `sending`."""

    #: A message that is recorded as sent and was never received is lost too.
    gone = "lost", "not received"
    twofold = "received twice", "sent twice"

    accepted: int = 0
    received: int = 0
    statuses: dict[str, int] = field(default_factory=dict)

    @property
    def has_ended(self) -> bool:
        """Whether all was drained in time, and each mail is dispatched or unknown."""
        return self.drained_s is not None and self.statuses.keys() <= {"dispatched", "unknown"}

    @property
    def counted(self) -> dict[str, Any]:
        """How many messages were accepted and received, and how the others ended."""
        unknown = self.statuses.get("unknown", 0)
        return {"accepted": self.accepted, "received": self.received, "unknown": unknown, "statuses": self.statuses}


class SendDrill:
    """Kills services and workers that send batches, and checks the result."""

    def __init__(
        self, batches: DrillBatches, *, seed: int, say: Say, throttle: Callable[[], None] = lambda: None
    ) -> None:
        """Take the batches; `throttle` makes the receiving end answer once that the daily quota is used up."""
        self.outcome = SendOutcome(seed)
        #: Messages that were `sending` after each random kill, and after none before it.
        self._left: list[set[str]] = []
        self._batches, self._say, self._throttle = batches, say, throttle
        self._chance = Random(seed)

    def kill_at_points(
        self,
        *,
        mails: int,
        of_a_worker: Sequence[str] = OF_A_WORKER,
        of_the_service: Sequence[str] = OF_THE_SERVICE,
    ) -> None:
        """Kill the service and workers before and after each of these effects, with a new batch each time.

        Raises:
            StackError: nothing died there: nothing reaches that point.
        """
        if _AGAIN in of_a_worker:
            # First: nothing else may be in progress.
            self._kill_before_sending_again(mails)
        for effect in of_a_worker:
            for when in ("before", "after") if effect != _AGAIN else ():
                self._kill_worker(f"{when} {effect}", mails)
        for effect in of_the_service:
            for when in ("before", "after"):
                self._kill_service(f"{when} {effect}", mails)

    def kill_at_random(self, batch_id: str, *, kills: int, longest_s: float = 1.0) -> None:
        """Kill the worker of a batch up to `kills` times, each after 0.05 s to `longest_s` of work; fewer if the batch is done."""
        for _ in range(kills):
            if not self._is_waiting(batch_id):
                break
            had = len(list(self._batches.received()))
            worker = self._fork()
            self._until(partial(self._has_more_than, had, batch_id))
            time.sleep(self._chance.uniform(0.05, longest_s))
            self._end(worker)

    def kill_while_sending(self, *, kills: int, seconds: float, workers: int, in_hand: int) -> None:
        """Kill workers 0.05 to 2 s after their first mail, while batches keep arriving so that some are always in progress."""
        kill_at_random(
            # A low limit, so that a new worker finds some batches left.
            partial(self._fork, limit=_FEW),
            lambda worker: is_connected(worker.process.pid, self._batches.smtp_port),
            self._end,
            lambda: self._feed(in_hand),
            chance=self._chance,
            kills=kills,
            seconds=seconds,
            workers=workers,
        )

    def prove(self, *, workers: int = 1) -> SendOutcome:
        """Let workers finish the rest, run the check, and return the result."""
        self.settle(workers=workers)
        batches = self._batches
        self.outcome.accepted, self.outcome.received = sum(batches.batches.values()), len(list(batches.received()))
        self.outcome.statuses = dict(batches.statuses())
        self.outcome.found = batches.check()
        return self.outcome

    def settle(self, *, workers: int = 1) -> None:
        """Let workers finish the rest as if hours later, and record how long they took."""
        batches = self._batches
        left = batches.in_status(*UNANSWERED)
        self.outcome.kills_at_work += sum(not left.isdisjoint(some) for some in self._left)
        self._left = []
        # The run of this batch also resolves the outcomes of the others.
        batches.post(1)
        batches.pass_time()
        batches.adopt()
        batches.resume()
        alive = [self._fork() for _ in range(workers)]
        self.outcome.drained_s = None
        try:
            self.outcome.drained_s = batches.drain(within_s=_PATIENCE_S + 0.2 * sum(batches.batches.values()))
        except TimeoutError as error:
            self._say(f"not drained: {error}")
        for worker in alive:
            self._kill(worker)
        batches.adopt()

    def _kill_worker(self, point: str, mails: int) -> None:
        if point.endswith("commit of accept"):
            self._batches.write(f"plain-{self.outcome.kills}@users.test")
        else:
            self._batches.post(mails)
        if point.endswith("commit of defer"):
            self._throttle()
        if point.endswith("commit of remind"):
            self._batches.sweep()
        self._dies(self._fork(crash=point), point)

    def _kill_before_sending_again(self, mails: int) -> None:
        """Strand a batch with `prefer_delivery`, and kill twice while it is requeued; its mails were never sent."""
        self._batches.post(mails, policy="prefer_delivery")
        self._dies(self._fork(crash="after commit of claim"), "after commit of claim")
        self._batches.post(mails)
        self._batches.pass_time()
        for point in ("before commit of resend", "after commit of resend"):
            self._dies(self._fork(crash=point), point)

    def _kill_service(self, point: str, mails: int) -> None:
        request = self._batches.request(mails)
        if not point.endswith("commit of accept"):
            # The relay that dies must find an order.
            self._lose_the_answer(request, "after commit of accept")
            self._batches.pass_time()
            self._dies(self._batches.serve(crash=point), point)
        else:
            self._lose_the_answer(request, point)
        self._batches.insist(request)

    def _lose_the_answer(self, request: dict[str, Any], point: str) -> None:
        service = self._batches.serve(crash=point)

        def asked() -> bool:
            try:
                self._batches.ask("POST", "/v1/batches", **request)
            except httpx.TransportError:
                return not service.is_alive()
            return True

        self._until(asked)
        self._dies(service, point)

    def _fork(self, crash: str = "", **how: Any) -> Worker:
        return self._batches.fork_server.fork(crash=crash, **_QUICK, **how)

    def _dies(self, process: Worker, point: str) -> None:
        deaths = self._batches.fork_server.deaths
        if not process.wait(within_s=_PATIENCE_S) or deaths()[-1:] != [point]:
            process.kill()
            raise StackError(f"no process died {point}: the crash point was not reached")
        # It may have left children.
        self._kill(process)
        self.outcome.kills += 1
        self.outcome.points.append(point)
        self._say(f"killed {point}")

    def _kill(self, worker: Worker) -> None:
        worker.kill()
        worker.wait(within_s=5)

    def _end(self, worker: Worker) -> None:
        """Kill a worker. Messages that stay `sending` were its, or those of another that dies soon."""
        self._kill(worker)
        self._left.append(self._newly_sending())
        self.outcome.kills += 1
        if self.outcome.kills % 25 == 0:
            self._say(f"{self.outcome.kills} kills, {len(list(self._batches.received()))} mails received")

    def _feed(self, in_hand: int) -> None:
        for number in range(max(0, in_hand - self._batches.waiting()) // _A_BATCH):
            self._batches.post(_A_BATCH, lane="bulk" if number % 2 else "transactional")

    def _newly_sending(self) -> set[str]:
        return self._batches.in_status("sending").difference(*self._left)

    def _has_more_than(self, had: int, batch_id: str) -> bool:
        return len(list(self._batches.received())) > had or not self._is_waiting(batch_id)

    def _is_waiting(self, batch_id: str) -> bool:
        query = "select 1 from message where batch_id = %s and status = any(%s) limit 1"
        return bool(self._batches.drill_stack.ask(query, batch_id, [status.value for status in WAITING]))

    def _until(self, holds: Callable[[], bool]) -> None:
        wait_until(holds, within_s=_PATIENCE_S, every_s=PAUSE_S)
