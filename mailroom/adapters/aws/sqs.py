"""A queue on SQS."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from mailroom.adapters.aws.clients import translated
from mailroom.crash_points import crash_point
from mailroom.domain.errors import TransientError
from mailroom.ports.queue import Received

_BATCH = 10


class SqsQueue:
    """The port `Queue` on SQS."""

    def __init__(self, sqs: Any, *, url: str) -> None:
        self._sqs = sqs
        self._url = url

    def receive(self, *, most: int, wait_s: int) -> list[Received]:
        """Return up to `most` messages; they stay invisible for the queue's visibility timeout."""
        crash_point("before", "receive")
        with translated("sqs"):
            answer = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(most, _BATCH),
                WaitTimeSeconds=wait_s,
                AttributeNames=["ApproximateReceiveCount"],
                MessageAttributeNames=["All"],
            )
        crash_point("after", "receive")
        return [
            Received(
                message["MessageId"],
                message["ReceiptHandle"],
                message["Body"],
                int(message.get("Attributes", {}).get("ApproximateReceiveCount", "1")),
                _texts(message.get("MessageAttributes", {})),
            )
            for message in answer.get("Messages", [])
        ]

    def post(self, bodies: Sequence[str], *, delay_s: int = 0) -> None:
        """Put these messages on the queue, visible after `delay_s`."""
        for batch in _batches(bodies):
            entries = [{"Id": str(at), "MessageBody": body, "DelaySeconds": delay_s} for at, body in enumerate(batch)]
            crash_point("before", "post")
            with translated("sqs"):
                answer = self._sqs.send_message_batch(QueueUrl=self._url, Entries=entries)
            crash_point("after", "post")
            _check(answer)

    def delete(self, receipts: Sequence[str]) -> None:
        """Acknowledge these messages."""
        for batch in _batches(receipts):
            entries = [{"Id": str(at), "ReceiptHandle": receipt} for at, receipt in enumerate(batch)]
            crash_point("before", "delete")
            with translated("sqs"):
                answer = self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)
            crash_point("after", "delete")
            _check(answer)

    def hide(self, receipts: Sequence[str], *, seconds: int) -> None:
        """Keep these messages invisible for `seconds` from now."""
        for batch in _batches(receipts):
            entries = [
                {"Id": str(at), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
                for at, receipt in enumerate(batch)
            ]
            crash_point("before", "hide")
            with translated("sqs"):
                answer = self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
            crash_point("after", "hide")
            _check(answer)

    def waiting(self) -> int:
        """Return the approximate number of visible messages."""
        name = "ApproximateNumberOfMessages"
        with translated("sqs"):
            answer = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=[name])
        return int(answer["Attributes"][name])


def _texts(attributes: Mapping[str, Any]) -> dict[str, str]:
    return {name: value["StringValue"] for name, value in attributes.items() if "StringValue" in value}


def _batches(words: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(words)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _check(answer: Any) -> None:
    # A batch answers 200 even where single entries failed.
    failed = answer.get("Failed", [])
    if any(not fault.get("SenderFault") for fault in failed):
        raise TransientError("SQS did not accept every entry", service="sqs", failed=len(failed))
