"""R1, R8, R15 for batches: whatever dies, each message is received once, or it is unknown, and then at most once."""

from collections.abc import Iterator

import pytest

from mailroom.crash import SENDING_POINTS
from mailroom.sandbox.moods import Mood
from mailroom.sandbox.post_office import PostOffice, post_office
from mailroom.sandbox.receiver import Receiver, receiving
from mailroom.sandbox.send_drill import SendDrill
from tests.faults.range import Range
from tests.loopback import free_port


@pytest.fixture
def receiver() -> Receiver:
    return Receiver(pipelining=True)


@pytest.fixture
def office(field: Range, receiver: Receiver) -> Iterator[PostOffice]:
    """A service that takes batches, whose mail goes to the receiver."""
    port = free_port()
    with (
        receiving(receiver, port=port),
        post_office(field.ground, field.zygote, lambda: list(receiver.accepted)) as made,
    ):
        made.use(port)
        made.serve()
        yield made


@pytest.mark.timeout(600)
def test_r1_service_and_worker_killed_at_any_crash_point_of_a_batch_send_nothing_twice(
    office: PostOffice, receiver: Receiver
) -> None:
    """SIGKILL before and after every side effect and every commit; the drill fails for a point that nothing reaches."""
    drill = SendDrill(office, seed=1, say=print, throttle=lambda: receiver.moods.append(Mood.DAILY))

    drill.kill_at_points(mails=3)
    outcome = drill.prove()

    assert set(SENDING_POINTS) <= set(outcome.points)
    assert outcome.is_clean, outcome
