"""What the listener does with messages that announce no e-mail, and with S3 events that EventBridge delivered."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.inbox.inbox_reader import SqlInboxReader
from mailroom.api.metrics.inbound import exposition
from mailroom.domain.inbound.received_email import ObjectRef
from tests.support.inbound_listener import PATIENT, Desk, from_s3, from_ses, ref
from tests.support.tampering import tampering


@pytest.fixture
def inbound_setup(engine: Engine) -> Desk:
    return Desk(SqlLedger(engine))


def by_eventbridge(of: ObjectRef, **changes: Any) -> str:
    detail = {"bucket": {"name": of.bucket}, "object": {"key": of.key, "sequencer": "617f08299329d189"}}
    return json.dumps({"detail-type": "Object Created", "source": "aws.s3", "detail": detail} | changes)


OTHERS = [
    '{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"mails"}',
    from_s3("gone").replace("ObjectCreated:Put", "ObjectRemoved:Delete"),
    from_s3("gone").replace("ObjectCreated:Put", "ObjectTagging:Put"),
    from_ses("AMAZON_SES_SETUP_NOTIFICATION"),
    '{"eventType":"Delivery","delivery":{},"mail":{"messageId":"m"}}',
    '{"Type":"SubscriptionConfirmation","TopicArn":"arn:t","Token":"secret","SubscribeURL":"https://aws.test/"}',
    by_eventbridge(ref(), **{"detail-type": "Object Deleted"}),
]


def counted(engine: Engine) -> dict[str, str]:
    name = "mailroom_inbound_other_notices_total"
    lines = exposition(SqlInboxReader(engine).census(), datetime.now(UTC)).splitlines()
    return dict(line.removeprefix(f'{name}{{kind="').split('"} ') for line in lines if line.startswith(f"{name}{{"))


def test_notices_of_other_kinds_are_acknowledged_and_counted_and_unreadable_ones_stay(
    inbound_setup: Desk, engine: Engine
) -> None:
    """None becomes a dead letter but what no release can read; a metric shows that something else uses the queue."""
    inbound_setup.queue.post([*OTHERS, "no notice"])

    inbound_setup.listen(lambda: len(inbound_setup.queue) == 1)

    assert counted(engine) == {
        "eventbridge_event": "1",
        "s3_event": "2",
        "s3_test": "1",
        "ses_event": "1",
        "ses_setup": "1",
        "sns_subscription": "1",
    }
    assert inbound_setup.runs.asked == []
    assert [body for body, _ in inbound_setup.came_back(after_s=60)] == ["no notice"]


def test_a_notice_that_comes_again_is_counted_once_and_counts_add_up(inbound_setup: Desk, engine: Engine) -> None:
    """SQS delivers at least once; a second worker or start adds to the same number."""
    inbound_setup.queue.send(OTHERS[0])
    [message] = inbound_setup.queue.receive(most=1, wait_s=0)
    inbound_setup.queue.hide([message.receipt_handle], seconds=0)
    inbound_setup.queue.post([OTHERS[0], OTHERS[0]])

    inbound_setup.listen(inbound_setup.empty)
    inbound_setup.queue.send(OTHERS[0])
    inbound_setup.listen(inbound_setup.empty)

    assert counted(engine) == {"s3_test": "3"}


def test_a_count_that_cannot_be_stored_keeps_no_message(inbound_setup: Desk, engine: Engine) -> None:
    """A number is not worth a dead letter."""
    with tampering(engine) as connection:
        connection.execute(text("alter table other_notice add constraint none check (notices < 0)"))
    inbound_setup.queue.post([OTHERS[0], from_s3(), from_ses()])

    inbound_setup.listen(inbound_setup.empty, PATIENT)

    assert inbound_setup.executor.ran == ["abc123"]


def test_an_object_by_eventbridge_joins_its_notification_by_ses(inbound_setup: Desk) -> None:
    """In place of S3's own, beside it, and through a topic: one mail, one run, every message deleted."""
    body = by_eventbridge(ref())
    inbound_setup.queue.post([body, json.dumps({"Type": "Notification", "Message": body}), from_s3(), from_ses()])

    inbound_setup.listen(inbound_setup.empty, PATIENT)

    assert inbound_setup.executor.ran == ["abc123"]
    assert inbound_setup.entry().envelope is not None
