"""The dead-letter queue of a queue, and its redrive."""

import json
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from mailroom.adapters.aws.clients import error_code, translated
from mailroom.domain.errors import PermanentError, TransientError

_BATCH = 10
_LOOK_AGAIN_S = 2.0
#: Error codes of services without SQS's own redrive; the emulator only answers 500.
_UNKNOWN = frozenset({"InvalidAction", "UnknownOperationException", "NotImplemented", "404", "500", "501"})
_OVER = frozenset({"COMPLETED", "FAILED", "CANCELLED"})

Progress = Callable[[int, int], None]
"""Called with the number of messages moved so far, and of all messages."""


class DeadLetters:
    """The dead-letter queue that the redrive policy of the queue at `url` names."""

    def __init__(self, sqs: Any, *, url: str) -> None:
        self._sqs = sqs
        self._url = url
        with translated("sqs"):
            values = self._attributes(url, "RedrivePolicy", "QueueArn")
            if "RedrivePolicy" not in values:
                raise PermanentError("the queue has no dead-letter queue")
            self._arn, self._dead_arn = values["QueueArn"], json.loads(values["RedrivePolicy"])["deadLetterTargetArn"]
            self._dead_url = sqs.get_queue_url(QueueName=self._dead_arn.rpartition(":")[2])["QueueUrl"]

    def __len__(self) -> int:
        """Return the approximate number of dead letters."""
        with translated("sqs"):
            return int(self._attributes(self._dead_url, "ApproximateNumberOfMessages")["ApproximateNumberOfMessages"])

    def redrive(self, progress: Progress) -> int:
        """Move the present dead letters back to the queue, and return how many were moved.

        By SQS's own task if the service has one. Otherwise each is sent before it is deleted: it may come twice, which the
        ledger recognises, but is never lost.
        """
        there = len(self)
        with translated("sqs"):
            moved = self._by_task(there, progress)
            return self._one_by_one(there, progress) if moved is None else moved

    def _by_task(self, there: int, progress: Progress) -> int | None:
        try:
            self._sqs.start_message_move_task(SourceArn=self._dead_arn, DestinationArn=self._arn)
        except ClientError as error:
            if error_code(error) in _UNKNOWN:
                return None
            raise
        while True:
            task = self._sqs.list_message_move_tasks(SourceArn=self._dead_arn, MaxResults=1)["Results"][0]
            moved = int(task.get("ApproximateNumberOfMessagesMoved", 0))
            progress(moved, there)
            if task["Status"] == "FAILED":
                raise TransientError("SQS could not move every message", service="sqs", moved=moved)
            if task["Status"] in _OVER:
                return moved
            time.sleep(_LOOK_AGAIN_S)

    def _one_by_one(self, there: int, progress: Progress) -> int:
        moved = 0
        # No more than at the start: messages that fail again at once would otherwise be moved for ever.
        while moved < there:
            messages = self._sqs.receive_message(
                QueueUrl=self._dead_url,
                MaxNumberOfMessages=min(_BATCH, there - moved),
                WaitTimeSeconds=1,
                VisibilityTimeout=60,
                MessageAttributeNames=["All"],
            ).get("Messages", [])
            if not messages:
                break
            moved += self._move(messages)
            progress(moved, there)
        return moved

    def _move(self, messages: list[Any]) -> int:
        entries = [
            {"Id": str(at), "MessageBody": one["Body"], "MessageAttributes": one.get("MessageAttributes", {})}
            for at, one in enumerate(messages)
        ]
        answer = self._sqs.send_message_batch(QueueUrl=self._url, Entries=entries)
        sent = [int(one["Id"]) for one in answer.get("Successful", [])]
        if not sent:
            raise TransientError("SQS could not redrive the messages", service="sqs")
        gone = [{"Id": str(at), "ReceiptHandle": messages[at]["ReceiptHandle"]} for at in sent]
        self._sqs.delete_message_batch(QueueUrl=self._dead_url, Entries=gone)
        return len(sent)

    def _attributes(self, url: str, *names: str) -> dict[str, str]:
        answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names))
        return dict(answer.get("Attributes", {}))
