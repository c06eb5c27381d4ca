"""The kill drill of outbound mail: the service and the workers die at every crash point of a batch's way, and at random.

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

#: What the service passes: the request's commit, and its relay's.
OF_THE_SERVICE = ("commit of accept", "commit of take", "post", "commit of published")
#: What workers pass; they accept plain mails.
OF_A_WORKER = (
    _AGAIN,
    "commit of accept",
    "create run",
    "commit of carried",
    "execute",
    "commit of strand",
    "commit of plan",
    "commit of claim",
    "hand over",
    "commit of settle",
    "commit of defer",
    "commit of remind",
    "delete",
)

#: A worker's clock: shorter than in drills of inbound mail, for a batch that lost its worker waits so long.
_QUICK: dict[str, Any] = {"visibility_s": 2, "beat_s": 0.4, "stop_patience_s": 0.0}

_PATIENCE_S = 40.0
#: Mails of each batch that is fed.
_A_BATCH = 100
_FEW = 1


@dataclass(slots=True)
class SendOutcome(DrillResult):
    """What a drill did, and what the check found after it. A kill at random was at work if it left a mail `sending`."""

    #: A message that is said to be sent and was never received is gone too.
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
    """Kills what sends batches, and proves what came of it."""

    def __init__(
        self, office: DrillBatches, *, seed: int, say: Say, throttle: Callable[[], None] = lambda: None
    ) -> None:
        """Take where it happens; `throttle` has the receiving end say once that the day's quota is used up."""
        self.outcome = SendOutcome(seed)
        #: What was `sending` after each kill at random, and at none before it.
        self._left: list[set[str]] = []
        self._office, self._say, self._throttle = office, say, throttle
        self._chance = Random(seed)

    def kill_at_points(
        self,
        *,
        mails: int,
        of_a_worker: Sequence[str] = OF_A_WORKER,
        of_the_service: Sequence[str] = OF_THE_SERVICE,
    ) -> None:
        """Have the service and workers die before and after each of these effects, with a new batch each time.

        Raises:
            StackError: nothing died there: nothing reaches that point.
        """
        if _AGAIN in of_a_worker:
            # First: it must find nothing else under way.
            self._kill_before_sending_again(mails)
        for effect in of_a_worker:
            for when in ("before", "after") if effect != _AGAIN else ():
                self._kill_worker(f"{when} {effect}", mails)
        for effect in of_the_service:
            for when in ("before", "after"):
                self._kill_service(f"{when} {effect}", mails)

    def kill_at_random(self, batch_id: str, *, kills: int, longest_s: float = 1.0) -> None:
        """Kill the worker of a batch so often, each time after 0.05 s and up to `longest_s` of work; less when it is done."""
        for _ in range(kills):
            if not self._is_waiting(batch_id):
                break
            had = len(list(self._office.received()))
            worker = self._fork()
            self._until(partial(self._has_more_than, had, batch_id))
            time.sleep(self._chance.uniform(0.05, longest_s))
            self._end(worker)

    def kill_while_sending(self, *, kills: int, seconds: float, workers: int, in_hand: int) -> None:
        """Kill workers 0.05 to 2 s after their first mail, while batches keep coming so that some are always under way."""
        kill_at_random(
            # Fewer in hand than there are, so that a new worker finds some.
            partial(self._fork, limit=_FEW),
            lambda worker: is_connected(worker.process.pid, self._office.smtp_port),
            self._end,
            lambda: self._feed(in_hand),
            chance=self._chance,
            kills=kills,
            seconds=seconds,
            workers=workers,
        )

    def prove(self, *, workers: int = 1) -> SendOutcome:
        """Let workers finish what is left, run the check, and return what came of it all."""
        self.settle(workers=workers)
        office = self._office
        self.outcome.accepted, self.outcome.received = sum(office.batches.values()), len(list(office.received()))
        self.outcome.statuses = dict(office.statuses())
        self.outcome.found = office.check()
        return self.outcome

    def settle(self, *, workers: int = 1) -> None:
        """Let workers finish what is left after hours, and note how long they took."""
        office = self._office
        left = office.in_status(*UNANSWERED)
        self.outcome.kills_at_work += sum(not left.isdisjoint(some) for some in self._left)
        self._left = []
        # The run of this one looks after what was left.
        office.post(1)
        office.pass_time()
        office.adopt()
        office.resume()
        alive = [self._fork() for _ in range(workers)]
        self.outcome.drained_s = None
        try:
            self.outcome.drained_s = office.drain(within_s=_PATIENCE_S + 0.2 * sum(office.batches.values()))
        except TimeoutError as error:
            self._say(f"not drained: {error}")
        for worker in alive:
            self._kill(worker)
        office.adopt()

    def _kill_worker(self, point: str, mails: int) -> None:
        if point.endswith("commit of accept"):
            self._office.write(f"plain-{self.outcome.kills}@users.test")
        else:
            self._office.post(mails)
        if point.endswith("commit of defer"):
            self._throttle()
        if point.endswith("commit of remind"):
            self._office.sweep()
        self._dies(self._fork(crash=point), point)

    def _kill_before_sending_again(self, mails: int) -> None:
        """Strand a batch that may go again, and die over that twice; the mails were never handed over."""
        self._office.post(mails, policy="prefer_delivery")
        self._dies(self._fork(crash="after commit of claim"), "after commit of claim")
        self._office.post(mails)
        self._office.pass_time()
        for point in ("before commit of resend", "after commit of resend"):
            self._dies(self._fork(crash=point), point)

    def _kill_service(self, point: str, mails: int) -> None:
        request = self._office.request(mails)
        if not point.endswith("commit of accept"):
            # The relay that dies is to find an order.
            self._lose_the_answer(request, "after commit of accept")
            self._office.pass_time()
            self._dies(self._office.serve(crash=point), point)
        else:
            self._lose_the_answer(request, point)
        self._office.insist(request)

    def _lose_the_answer(self, request: dict[str, Any], point: str) -> None:
        service = self._office.serve(crash=point)

        def asked() -> bool:
            try:
                self._office.ask("POST", "/v1/batches", **request)
            except httpx.TransportError:
                return not service.is_alive()
            return True

        self._until(asked)
        self._dies(service, point)

    def _fork(self, crash: str = "", **how: Any) -> Worker:
        return self._office.fork_server.fork(crash=crash, **_QUICK, **how)

    def _dies(self, process: Worker, point: str) -> None:
        deaths = self._office.fork_server.deaths
        if not process.wait(within_s=_PATIENCE_S) or deaths()[-1:] != [point]:
            process.kill()
            raise StackError(f"nothing died {point}: nothing reaches this crash point")
        # It may have left children.
        self._kill(process)
        self.outcome.kills += 1
        self.outcome.points.append(point)
        self._say(f"killed {point}")

    def _kill(self, worker: Worker) -> None:
        worker.kill()
        worker.wait(within_s=5)

    def _end(self, worker: Worker) -> None:
        """Kill a worker. What is `sending` now and stays so was in its hands, or in those of one that dies before long."""
        self._kill(worker)
        self._left.append(self._newly_sending())
        self.outcome.kills += 1
        if self.outcome.kills % 25 == 0:
            self._say(f"{self.outcome.kills} kills, {len(list(self._office.received()))} mails received")

    def _feed(self, in_hand: int) -> None:
        for number in range(max(0, in_hand - self._office.waiting()) // _A_BATCH):
            self._office.post(_A_BATCH, lane="bulk" if number % 2 else "transactional")

    def _newly_sending(self) -> set[str]:
        return self._office.in_status("sending").difference(*self._left)

    def _has_more_than(self, had: int, batch_id: str) -> bool:
        return len(list(self._office.received())) > had or not self._is_waiting(batch_id)

    def _is_waiting(self, batch_id: str) -> bool:
        query = "select 1 from message where batch_id = %s and status = any(%s) limit 1"
        return bool(self._office.drill_stack.ask(query, batch_id, [status.value for status in WAITING]))

    def _until(self, holds: Callable[[], bool]) -> None:
        wait_until(holds, within_s=_PATIENCE_S, every_s=PAUSE_S)
