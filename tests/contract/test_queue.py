"""The port `Queue`: the in-memory double and SQS answer alike."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

import boto3
import pytest
from botocore.stub import Stubber

from mailroom.adapters.aws.dead_letters import DeadLetters
from mailroom.adapters.aws.sqs import SqsQueue
from mailroom.ports.queue import Queue, Received
from mailroom.testing.queue import MemoryQueue

_numbers = count()


@dataclass(frozen=True, slots=True)
class Case:
    """A new queue, and how a message is put into it."""

    queue: Queue
    send: Callable[..., object]

    def sent(self, *bodies: str) -> "Case":
        for body in bodies:
            self.send(body)
        return self

    def take(self, most: int = 10, wait_s: int = 0) -> list[Received]:
        return self.queue.receive(most=most, wait_s=wait_s)

    def all(self) -> list[Received]:
        """Return everything that is visible, ten at a time."""
        found: list[Received] = []
        while batch := self.take():
            found += batch
        return found


@pytest.fixture(params=["memory", "sqs"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "memory":
        queue = MemoryQueue()
        return Case(queue, queue.send)
    endpoint = request.getfixturevalue("emulator")
    sqs = boto3.client(
        "sqs",
        endpoint_url=endpoint,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    name = f"queuetest-{next(_numbers)}"
    url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "30"})["QueueUrl"]

    def send(body: str, **attributes: str) -> object:
        output = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
        return sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=output)

    return Case(SqsQueue(sqs, url=url), send)


def receipts(messages: Sequence[Received]) -> list[str]:
    return [message.receipt_handle for message in messages]


def test_a_received_message_is_invisible(case: Case) -> None:
    """Two workers on one queue must not both get what one of them is processing."""
    case.sent("hello")

    first, second = case.take(), case.take()

    assert [(message.body, message.receive_count) for message in first] == [("hello", 1)]
    assert second == []


def test_a_message_posted_with_a_delay_is_not_there_at_once(case: Case) -> None:
    """An order of bulk that finds no slot comes again later, as a new message with no receives."""
    case.queue.post(["later"], delay_s=600)
    case.queue.post(["now"])

    assert [(message.body, message.receive_count) for message in case.all()] == [("now", 1)]


def test_an_empty_queue_gives_nothing(case: Case) -> None:
    """SQS leaves `Messages` out of its response; the listener polls for ever."""
    assert case.take() == []


def test_a_message_given_back_is_there_at_once_and_counts_up(case: Case) -> None:
    """A worker that stops releases its mail without a delay; the count leads a bad mail to the dead letters."""
    [first] = case.sent("hello").take()

    case.queue.hide([first.receipt_handle], seconds=0)
    [second] = case.take()

    assert (second.message_id, second.body, second.receive_count) == (first.message_id, "hello", 2)


def test_a_hidden_message_comes_back_after_its_time(case: Case) -> None:
    """A dead worker needs no announcement: silence is enough. A waiting receive returns when the message is back."""
    [first] = case.sent("hello").take()

    case.queue.hide([first.receipt_handle], seconds=1)

    assert case.take() == []
    assert [message.message_id for message in case.take(wait_s=5)] == [first.message_id]


def test_hiding_again_counts_from_now(case: Case) -> None:
    """A heartbeat keeps messages invisible: the latest timeout holds, not the earlier one."""
    [message] = case.sent("hello").take()

    case.queue.hide([message.receipt_handle], seconds=0)
    case.queue.hide([message.receipt_handle], seconds=30)

    assert case.take() == []


def test_a_deleted_message_never_comes_back(case: Case) -> None:
    """Acknowledged is final, also for a worker that hides the same message a moment later."""
    gone, kept = case.sent("gone", "kept").take()

    case.queue.delete([gone.receipt_handle])
    case.queue.hide([gone.receipt_handle, kept.receipt_handle], seconds=0)

    assert [message.body for message in case.all()] == [kept.body]


def test_deleting_twice_is_no_fault(case: Case) -> None:
    """A lost response makes the worker delete again."""
    [message] = case.sent("hello").take()

    case.queue.delete([message.receipt_handle])
    case.queue.delete([message.receipt_handle])

    assert case.take() == []


def test_an_empty_list_does_nothing(case: Case) -> None:
    """SQS refuses an empty batch, and a heartbeat without messages is ordinary."""
    case.sent("hello")

    case.queue.delete([])
    case.queue.hide([], seconds=0)

    assert [message.receive_count for message in case.take()] == [1]


def test_more_than_ten_receipts_are_all_hidden_and_deleted(case: Case) -> None:
    """SQS takes ten in a call; what comes after the tenth must not be forgotten."""
    held = case.sent(*[str(number) for number in range(23)]).all()

    case.queue.hide(receipts(held), seconds=0)
    again = case.all()
    case.queue.delete(receipts(again))
    case.queue.hide(receipts(again), seconds=0)

    assert sorted(int(message.body) for message in again) == list(range(23))
    assert {message.receive_count for message in again} == {2}
    assert case.all() == []


def test_a_receive_brings_at_most_what_is_asked(case: Case) -> None:
    """Surplus messages would wait at one worker while another is idle."""
    case.sent("one", "two", "three")

    first, rest = case.take(most=2), case.take(most=2)

    assert len(first) == 2
    assert sorted(message.body for message in first + rest) == ["one", "three", "two"]


def test_a_receive_brings_ten_at_most(case: Case) -> None:
    """SQS refuses a larger number, so the adapter asks for ten at most; the double does the same."""
    case.sent(*[str(number) for number in range(12)])

    assert len(case.take(most=20)) == 10


def test_the_double_uses_its_clock() -> None:
    """Tests of the listener cover a minute's pause without waiting a minute."""
    now = 0.0
    queue = MemoryQueue(visibility_s=60, clock=lambda: now)
    queue.send("hello")
    queue.receive(most=1, wait_s=0)

    now = 59.9
    early = queue.receive(most=1, wait_s=0)
    now = 60.0
    [second] = queue.receive(most=1, wait_s=0)

    assert early == []
    assert second.receive_count == 2


def test_only_the_newest_receipt_handle_counts_for_the_double() -> None:
    """AWS: "if you don't use the most recent receipt handle, the message might not be deleted" (DeleteMessage, 2025)."""
    queue = MemoryQueue()
    queue.send("hello")
    [first] = queue.receive(most=1, wait_s=0)
    queue.hide([first.receipt_handle], seconds=0)
    queue.receive(most=1, wait_s=0)

    queue.delete([first.receipt_handle])

    assert queue.bodies == ["hello"]


def test_a_posted_message_is_received(case: Case) -> None:
    """The relay posts more than one call of SQS takes."""
    mailbox = case.queue
    assert isinstance(mailbox, (MemoryQueue, SqsQueue))

    mailbox.post([f"order {at}" for at in range(23)])

    assert sorted(message.body for message in case.all()) == sorted(f"order {at}" for at in range(23))


def test_a_senders_attributes_come_with_the_message(case: Case) -> None:
    """A plain producer puts the kind of its message into them."""
    case.send("hello", channel="email", type="html")

    [message] = case.take()

    assert message.attributes == {"channel": "email", "type": "html"}


def test_what_is_sent_is_received_and_what_waits_is_counted(case: Case) -> None:
    """The sweep announces mails through the queue itself, but not while many messages wait there."""
    case.queue.post(["announced", "announced too"])

    before = case.queue.waiting()
    [received] = case.take(most=1)

    assert before == 2
    assert received.body.startswith("announced")
    assert case.queue.waiting() == 1


def test_dead_letters_go_back_by_the_service_itself_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then no message passes through this process, and a hundred thousand of them take none of its time."""
    monkeypatch.setattr("mailroom.adapters.aws.dead_letters._LOOK_AGAIN_S", 0)
    seen: list[tuple[int, int]] = []
    arn, dead = "arn:aws:sqs:eu-west-1:1:living", "arn:aws:sqs:eu-west-1:1:dead"
    policy = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 5})
    # AWS has a redrive of its own, and the emulator has not.
    sqs = boto3.client("sqs", region_name="eu-west-1", aws_access_key_id="test", aws_secret_access_key="test")

    with Stubber(sqs) as stub:
        stub.add_response("get_queue_attributes", {"Attributes": {"QueueArn": arn, "RedrivePolicy": policy}})
        stub.add_response("get_queue_url", {"QueueUrl": "https://sqs/dead"})
        stub.add_response("get_queue_attributes", {"Attributes": {"ApproximateNumberOfMessages": "3"}})
        stub.add_response("start_message_move_task", {}, {"SourceArn": dead, "DestinationArn": arn})
        for status, went in (("RUNNING", 1), ("COMPLETED", 3)):
            task = {"Status": status, "ApproximateNumberOfMessagesMoved": went}
            stub.add_response("list_message_move_tasks", {"Results": [task]})
        moved = DeadLetters(sqs, url="https://sqs/living").redrive(lambda *at: seen.append(at))
        stub.assert_no_pending_responses()

    assert moved == 3
    assert seen == [(1, 3), (3, 3)]


def test_dead_letters_go_back_by_hand_where_it_cannot(emulator: str) -> None:
    """More than one receive returns, each once, and nothing is left among the dead letters."""
    sqs = boto3.client(
        "sqs", endpoint_url=emulator, region_name="eu-west-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    name = f"redrivetest-{next(_numbers)}"
    dead = sqs.create_queue(QueueName=f"{name}-dlq")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5})
    url = sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": policy})["QueueUrl"]
    for number in range(13):
        sqs.send_message(QueueUrl=dead, MessageBody=f"mail {number}")
    letters = DeadLetters(sqs, url=url)

    assert len(letters) == 13
    assert letters.redrive(lambda moved, there: None) == 13

    back = Case(SqsQueue(sqs, url=url), lambda body: None).all()
    assert sorted(one.body for one in back) == sorted(f"mail {number}" for number in range(13))
    assert len(letters) == 0
