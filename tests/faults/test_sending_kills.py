"""R1, R8, R15 for batches: whatever dies, each message is received once, or its outcome is unknown and it is received at most once."""

import random
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from mailroom.crash_points import SENDING_POINTS
from mailroom.sandbox.drills.drill_batches import DrillBatches, open_drill_batches
from mailroom.sandbox.drills.send_drill import SendDrill
from mailroom.sandbox.stand_ins.behaviours import Behaviour
from mailroom.sandbox.stand_ins.receiver import Receiver, receiving
from tests.support.faulty_stack import Range, eventually
from tests.support.loopback_ports import free_port
from tests.support.smtp_sink import counting_sink


@dataclass
class Arrivals(Receiver):
    """A receiver that records when each mail came."""

    times: list[float] = field(default_factory=list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.times.append(time.monotonic())
        return await super().handle_DATA(server, session, envelope)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver(pipelining=True)


@pytest.fixture
def drill_batches(field: Range, receiver: Receiver) -> Iterator[DrillBatches]:
    """A service that accepts batches and sends to the receiver."""
    port = free_port()
    with (
        receiving(receiver, port=port),
        open_drill_batches(field.drill_stack, field.fork_server, lambda: list(receiver.accepted)) as made,
    ):
        made.use(port)
        made.serve()
        yield made


#: Where a message may come to be sent twice or never; `make drill` dies at all others too.
DEADLY = {
    "of_a_worker": ("commit of claim", "send to provider", "commit of settle", "delete"),
    "of_the_service": ("post",),
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "where", [pytest.param(DEADLY, id="deadly"), pytest.param({}, id="all", marks=pytest.mark.long)]
)
def test_r1_service_and_worker_killed_at_crash_points_of_a_batch_send_nothing_twice(
    drill_batches: DrillBatches, receiver: Receiver, where: dict[str, Any]
) -> None:
    """SIGKILL before and after each side effect and commit; the drill fails for a point that nothing reaches."""
    drill = SendDrill(drill_batches, seed=1, say=print, throttle=lambda: receiver.behaviours.append(Behaviour.DAILY))

    drill.kill_at_points(mails=3, **where)
    outcome = drill.prove()

    assert where or set(SENDING_POINTS) <= set(outcome.points)
    assert outcome.is_clean, outcome
    assert set(Counter(receiver.accepted).values()) == {1}


def test_r8_each_order_three_times_in_any_order_to_two_workers_is_sent_once(
    drill_batches: DrillBatches, receiver: Receiver
) -> None:
    """SQS promises at least once and no order; two workers may have the same batch at the same moment."""
    drill_stack = drill_batches.drill_stack
    for _ in range(8):
        drill_batches.post(15)
    eventually(lambda: drill_stack.depth("mailbox") >= 8, "the relay has posted all batches")
    orders = drill_stack.take_messages("mailbox") * 3
    random.Random(8).shuffle(orders)
    drill_stack.post_messages(orders, "mailbox")

    workers = [drill_batches.fork_server.fork() for _ in range(2)]
    drill_batches.drain()
    for worker in workers:
        worker.kill()

    assert drill_batches.check()["clean"]
    assert sorted(Counter(receiver.accepted).values()) == [1] * 120
    assert drill_batches.statuses() == {"dispatched": 120}


@contextmanager
def sink(drill_batches: DrillBatches) -> Iterator[None]:
    """Use Debian's smtp-sink as the receiving server."""
    with counting_sink() as (port, received):
        drill_batches.received = received
        drill_batches.use(port, per_second=60.0)
        yield


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("mails", "kills", "longest_s"),
    [
        pytest.param(300, 4, 1.0, id="short"),
        pytest.param(5_000, 200, 2.0, id="long", marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
    ],
)
def test_r15_a_sender_killed_at_random_in_a_batch_sends_nothing_twice(
    drill_batches: DrillBatches, mails: int, kills: int, longest_s: float
) -> None:
    """Counted by smtp-sink of Postfix, independent code; an outcome is unknown only where a worker died while sending."""
    with sink(drill_batches):
        batch_id = drill_batches.post(mails)
        drill = SendDrill(drill_batches, seed=15, say=print)

        drill.kill_at_random(batch_id, kills=kills, longest_s=longest_s)
        outcome = drill.prove()
        received = Counter(drill_batches.received())

    assert outcome.is_clean, outcome
    assert set(received.values()) == {1}
    assert outcome.kills > 0
    # A worker that dies is sending the mails of one rate slot, less than a second's.
    assert outcome.statuses.get("unknown", 0) <= 60 * outcome.kills
    assert len(received) >= mails + 1 - outcome.statuses.get("unknown", 0)


@pytest.mark.timeout(900)
def test_r15_workers_killed_while_batches_keep_coming_send_nothing_twice(drill_batches: DrillBatches) -> None:
    """The short form of `mailroom drill --outbound`: three workers, bulk and transactional batches, kills that meet mails."""
    with sink(drill_batches):
        drill = SendDrill(drill_batches, seed=16, say=print)

        drill.kill_while_sending(kills=12, seconds=180, workers=3, in_hand=600)
        outcome = drill.prove(workers=3)

    assert outcome.is_clean, outcome.as_json()
    assert outcome.received >= outcome.accepted - outcome.statuses.get("unknown", 0)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_r16_three_workers_keep_to_the_limit_of_every_second_and_use_it(drill_batches: DrillBatches) -> None:
    """14 a second, counted where the mails arrive: no second has more, and nearly all of it is used."""
    arrived = Arrivals()
    port = free_port()
    with receiving(arrived, port=port):
        drill_batches.received = lambda: list(arrived.accepted)
        drill_batches.use(port, per_second=14.0)
        for _ in range(4):
            drill_batches.post(250)
        workers = [drill_batches.fork_server.fork() for _ in range(3)]
        took = drill_batches.drain(within_s=600)
        for worker in workers:
            worker.kill()

    times = arrived.times
    worst = max(bisect_left(times, at + 1.0) - number for number, at in enumerate(times))
    assert drill_batches.check()["clean"]
    assert worst <= 14, f"{worst} mails in one second, {took:.0f} s in all"
    assert 1000 / (times[-1] - times[0]) >= 0.95 * 14
