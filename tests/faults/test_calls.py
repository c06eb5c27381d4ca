"""R4: every call to the outside fails in every way, once and until it is mended."""

from itertools import chain

import pytest

from mailroom.checking.manifest import Sent
from mailroom.sandbox.fault_proxy import HTTP_FAULTS, SQL_FAULTS, Fault
from tests.faults.range import Range, soon

#: Minutes: `make drill` runs them.
pytestmark = pytest.mark.long

OPERATIONS = {
    "s3": ("GetObject", "PutObject"),
    "sqs": ("ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"),
    "kms": ("Decrypt",),
    "prefect": ("POST create_flow_run", "POST set_state", "PATCH flow_runs", "POST artifacts"),
}
CALLS = [
    *((service, operation, HTTP_FAULTS) for service, operations in OPERATIONS.items() for operation in operations),
    ("sql", "COMMIT", SQL_FAULTS),
]

#: Those whose retries, hidden in their clients, make a lasting failure take minutes.
SLOWLY_MENDED = ("sqs", "prefect")
QUICKLY_MENDED = ("s3", "kms", "sql")

#: Beats come so often that each case meets one; the rest is the drill's clock.
QUICK_BEATS = {"beat_s": 0.3, "notice_grace_s": 0.5}

#: More than boto3's three attempts and Prefect's own: the failure reaches our code.
LASTING = 4

#: A call that is not made while so many mails come is not made at all.
MOST_MAILS = 15


@pytest.mark.timeout(600)
@pytest.mark.parametrize("service", [*OPERATIONS, "sql"])
def test_r4_a_call_that_fails_once_costs_nothing(field: Range, service: str) -> None:
    """The first, and in other cases a later one, for hidden retries may do the work of the first twice."""
    worker = field.ready(**QUICK_BEATS)
    sent = []
    for operation, how, nth in _cases(service):
        with field.failing(service, Fault(how, operation, nth=nth, times=1)) as fault:
            sent += _send_until(field, fault, times=1)

    _replay(field)
    field.proves(sent)
    assert worker.is_alive()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "service", [*QUICKLY_MENDED, *(pytest.param(name, marks=pytest.mark.long) for name in SLOWLY_MENDED)]
)
def test_r4_a_call_that_fails_until_it_is_mended_costs_nothing(field: Range, service: str) -> None:
    """What outlives every retry leaves the mail in the queue, or in quarantine until it is replayed; then it is filed."""
    worker = field.ready(**QUICK_BEATS)
    sent = []
    for operation, how, _ in _cases(service):
        with field.failing(service, Fault(how, operation)) as fault:
            sent += _send_until(field, fault, times=LASTING)

    _replay(field)
    field.proves(sent, within_s=120)
    assert worker.is_alive()


def _replay(field: Range) -> None:
    """Run what a refusal of the key service sent to quarantine again, as the person does who mended the key's policy."""
    field.ground.mailroom("replay", "--state", "quarantined", "--reason", "not_decryptable")


def _send_until(field: Range, fault: Fault, *, times: int) -> list[Sent]:
    """Mail until the fault has struck so often; some calls are made only while a mail is under way."""
    sent: list[Sent] = []
    while fault.fired < times:
        assert len(sent) < MOST_MAILS, f"{fault.operation} never met: {fault.how}"
        sent += field.ground.send(1)
        soon(lambda: fault.fired >= times, within_s=4)
    return sent


def _cases(service: str) -> list[tuple[str, str, int]]:
    mine = [(operation, hows) for name, operation, hows in CALLS if name == service]
    ways = chain.from_iterable(((operation, how) for how in hows) for operation, hows in mine)
    return [(operation, how, 1 + number % 3) for number, (operation, how) in enumerate(ways)]
