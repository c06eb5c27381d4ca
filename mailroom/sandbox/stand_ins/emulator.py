"""The AWS emulator of the sandbox: moto's server, with SES event publishing, which moto lacks.

    moto's SES accepts a mail ─> its list of sent mails ─> polled here ─> events ─> SNS ─> subscribers

Events go to the topics of the configuration sets' event destinations, as in AWS, and only those of the types that a
destination names; without one, nothing is published. moto does not record the configuration set of a mail, so the topics of all sets get its events. SNS signs its notifications.

moto's SQS counts all messages of the queue, several times, for each message that it returns: a backlog of 240 cost more
than all its other work for these mails. Here it asks for the one attribute that it needs. Object Lock: see
`object_lock`; the expected owner of a bucket: see `bucket_owner`; calls of SES's API v2: see `ses_api`.

Run as `python -m mailroom.sandbox.stand_ins.emulator -H 127.0.0.1 -p 5000`.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from moto import server
from moto.ses.models import RawMessage, ses_backends
from moto.sqs.models import Message, SQSBackend

from mailroom.sandbox.stack.environment import ACCOUNT, REGION
from mailroom.sandbox.stand_ins import bucket_owner, object_lock, ses_api
from mailroom.sandbox.stand_ins.ses_events import AcceptedMail, events_of

log = logging.getLogger("mailroom.emulator")

_LOOK_EVERY_S = 0.1


class EventPublisher:
    """Publishes the events of each mail that moto's SES in this process accepts, once."""

    def __init__(self, publish: Callable[[str, str], Any], *, region: str = REGION, account_id: str = ACCOUNT) -> None:
        """Take the function that publishes a text to a topic's ARN."""
        self._publish = publish
        self._backend = ses_backends[account_id][region]
        self._account_id = account_id
        self._seen = 0

    def once(self) -> int:
        """Publish the events of mails accepted since the last call, and return the number of mails."""
        sent = list(self._backend.sent_messages)
        # A reset of the emulator empties its list.
        self._seen = min(self._seen, len(sent))
        new = sent[self._seen :]
        for message in new:
            self._post_to_topics(message)
            self._seen += 1
        return len(new)

    def run(self, stop: threading.Event) -> None:
        """Publish until `stop` is set."""
        while not stop.wait(_LOOK_EVERY_S):
            try:
                self.once()
            except (BotoCoreError, ClientError) as error:
                log.warning("an event was not published and is retried: %s", type(error).__name__)

    def _post_to_topics(self, message: Any) -> None:
        if not isinstance(message, RawMessage):
            return
        # moto adds the addresses of the headers to those that the caller named.
        named = tuple(dict.fromkeys(message.destinations))
        taken = AcceptedMail(message.id, message.source or "", named, message.raw_data, datetime.now(UTC))
        for configuration_set, topic, wanted in self._destinations():
            for event in events_of(taken, account_id=self._account_id, configuration_set=configuration_set):
                if ses_api.plain_type(json.loads(event)["eventType"]) in wanted:
                    self._publish(topic, event)

    def _destinations(self) -> Iterator[tuple[str, str, frozenset[str]]]:
        """Yield configuration set, topic and types of each event destination."""
        for name, destination in list(self._backend.config_set_event_destination.items()):
            if topic := ses_api.topic_of(destination):
                yield name, topic, ses_api.event_types(destination)


def is_retained(backend: SQSBackend, queue_name: str, message: Message) -> bool:
    """Return whether the queue still keeps this message, as moto's own method does."""
    kept_s = int(backend.get_queue(queue_name).message_retention_period)  # type: ignore[attr-defined]
    return bool(message.sent_timestamp / 1000 + kept_s > time.time())  # type: ignore[operator]


def main() -> None:
    """Serve until SIGTERM or SIGINT, with moto's own options."""
    SQSBackend.is_message_valid_based_on_retention_period = is_retained  # type: ignore[method-assign, assignment]
    object_lock.like_s3()
    bucket_owner.like_s3()
    ses_api.like_ses()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    sns = boto3.client("sns", region_name=REGION, config=Config(connect_timeout=5, read_timeout=30))
    publisher = EventPublisher(lambda topic, text: sns.publish(TopicArn=topic, Message=text))
    threading.Thread(target=publisher.run, args=[threading.Event()], name="events", daemon=True).start()
    server.main()


if __name__ == "__main__":
    main()
