"""R4: every call to the outside fails in every way, once and until it is mended."""

from contextlib import ExitStack
from itertools import chain

import pytest

from mailroom.audit.sent_mails import SentMail
from mailroom.sandbox.stand_ins.fault_proxy import HTTP_FAULTS, SQL_FAULTS, STATEMENT_FAULTS, Fault
from tests.support.faulty_stack import Range, soon

OPERATIONS = {
    "s3": dict.fromkeys(("GetObject", "PutObject"), HTTP_FAULTS),
    "sqs": dict.fromkeys(("ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"), HTTP_FAULTS),
    "kms": {"Decrypt": HTTP_FAULTS},
    "prefect": dict.fromkeys(
        ("POST create_flow_run", "POST set_state", "PATCH flow_runs", "POST artifacts"), HTTP_FAULTS
    ),
    "sql": {"statement": STATEMENT_FAULTS, "COMMIT": SQL_FAULTS},
}

#: The short form: each operation once, each kind of failure at least once, at five services at the same time.
ROUNDS = (
    {
        "s3": ("GetObject", "truncated"),
        "sqs": ("ReceiveMessage", "error"),
        "kms": ("Decrypt", "denied"),
        "prefect": ("POST create_flow_run", "answer lost"),
        "sql": ("COMMIT", "answer lost"),
    },
    {
        "s3": ("PutObject", "answer lost"),
        "sqs": ("DeleteMessageBatch", "denied"),
        "kms": ("Decrypt", "truncated"),
        "prefect": ("POST set_state", "reset"),
        "sql": ("statement", "reset"),
    },
    {
        "s3": ("GetObject", "hang"),
        "sqs": ("ChangeMessageVisibilityBatch", "slow down"),
        "kms": ("Decrypt", "error"),
        "prefect": ("PATCH flow_runs", "error"),
        "sql": ("COMMIT", "hang"),
    },
    {"s3": ("PutObject", "denied"), "prefect": ("POST artifacts", "truncated"), "sql": ("COMMIT", "disk full")},
)

#: Heartbeats are so frequent that each case meets one; the rest is the drill's timing.
QUICK_BEATS = {"beat_s": 0.3, "notice_grace_s": 0.5}

#: More than boto3's three attempts and Prefect's own: the failure reaches our code.
LASTING = 4

#: A call that is not made during this many mails is not made at all.
MOST_MAILS = 15


def test_r4_short_form_each_call_fails_in_some_way_beside_failures_elsewhere(field: Range) -> None:
    """A call that is refused, lost, late or cut off loses no mail, even while other services fail too."""
    worker = field.ready(**QUICK_BEATS)
    sent = []
    for at_once in ROUNDS:
        with ExitStack() as failing:
            faults = [
                failing.enter_context(field.failing(service, Fault(how, operation, times=1)))
                for service, (operation, how) in at_once.items()
            ]
            for fault in faults:
                sent += _send_until(field, fault, times=1)

    field.proves(sent)
    assert worker.is_alive()


def test_r4_the_short_form_leaves_out_no_operation_and_no_way() -> None:
    """A failure that is left out here would be found by `make drill` alone."""
    met = [(service, *call) for at_once in ROUNDS for service, call in at_once.items()]

    assert {(service, operation) for service, operation, _ in met} == {
        (service, operation) for service, operations in OPERATIONS.items() for operation in operations
    }
    assert {how for _, _, how in met} == {*HTTP_FAULTS, *SQL_FAULTS}


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("service", OPERATIONS)
def test_r4_a_call_that_fails_once_loses_and_repeats_nothing(field: Range, service: str) -> None:
    """The first call, and in other cases a later one: hidden retries may repeat the work of the first."""
    worker = field.ready(**QUICK_BEATS)
    sent = []
    for operation, how, nth in _cases(service):
        with field.failing(service, Fault(how, operation, nth=nth, times=1)) as fault:
            sent += _send_until(field, fault, times=1)

    field.proves(sent)
    assert worker.is_alive()


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("service", OPERATIONS)
def test_r4_a_call_that_fails_until_it_is_repaired_loses_and_repeats_nothing(field: Range, service: str) -> None:
    """A failure that outlasts every retry leaves the mail in the queue; it is filed once the service works again."""
    worker = field.ready(**QUICK_BEATS)
    sent = []
    for operation, how, _ in _cases(service):
        with field.failing(service, Fault(how, operation)) as fault:
            sent += _send_until(field, fault, times=LASTING)

    field.proves(sent)
    assert worker.is_alive()


def _send_until(field: Range, fault: Fault, *, times: int) -> list[SentMail]:
    """Send mails until the fault has struck `times` times; some calls are made only while a mail is processed."""
    sent: list[SentMail] = []
    while fault.fired < times:
        assert len(sent) < MOST_MAILS, f"{fault.operation} never met: {fault.how}"
        sent += field.drill_stack.send(1)
        soon(lambda: fault.fired >= times, within_s=8)
    return sent


def _cases(service: str) -> list[tuple[str, str, int]]:
    """Return operation, kind of failure, and the number of the call that fails."""
    ways = chain.from_iterable(((operation, how) for how in hows) for operation, hows in OPERATIONS[service].items())
    return [(operation, how, 1 + number % 3) for number, (operation, how) in enumerate(ways)]
