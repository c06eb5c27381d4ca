"""Between the outbox and the mailbox queue: orders go out, plain mails come in, and nothing is lost or stored twice."""

import hashlib
import json
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.errors import TransientError, Unacceptable
from mailroom.domain.outbound.message import Batch, Content, Draft, Lane, Party, Status
from mailroom.outbound.attachments import AttachmentResolver
from mailroom.outbound.mailbox import BatchOrder, Intake, PlainMail, accept_mails, read
from mailroom.outbound.outbox_relay import relay, run_relay
from mailroom.ports.outbox import Accepted
from mailroom.ports.queue import Received
from mailroom.testing.archive import MemoryArchive
from mailroom.testing.queue import MemoryQueue

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
PLAIN = {"channel": "email", "type": "plaintext"}


class BrokenQueue(MemoryQueue):
    """A queue that rejects everything until it is repaired."""

    mended = False

    def post(self, bodies: Sequence[str]) -> None:
        """Put the messages in the queue, or fail as SQS does during an outage."""
        if not self.mended:
            raise TransientError("AWS cannot be reached", service="sqs")
        super().post(bodies)


@pytest.fixture
def outbox(engine: Engine) -> SqlOutbox:
    return SqlOutbox(engine)


def submitted(outbox: SqlOutbox, send_at: datetime | None = None, lane: Lane = Lane.TRANSACTIONAL) -> Accepted:
    batch = Batch(id=str(uuid4()), tenant="acme", from_=Party("desk@acme.test"), send_at=send_at, lane=lane)
    draft = Draft(id=str(uuid4()), number=0, to=Party("ada@users.test"), content=0)
    return outbox.accept(batch, [Content(subject="Hello", text="Hello", html=None)], [draft], now=NOW)


def plain(to: str = "ada@users.test", subject: str = "Hello", message: str = "Hello Ada") -> str:
    return json.dumps({"to": to, "subject": subject, "message": message})


_ids = count()


def received(body: str, message_id: str | None = None, **attributes: str) -> tuple[Received, PlainMail]:
    output = Received(message_id or f"m-{next(_ids)}", "receipt", body, 1, PLAIN | attributes)
    mail = read(output.body, output.attributes)
    assert isinstance(mail, PlainMail)
    return output, mail


def accepted_from(outbox: SqlOutbox, *messages: tuple[Received, PlainMail], sender: str = "desk@acme.test") -> Intake:
    attachments = AttachmentResolver("acme", archive=MemoryArchive(), uploads=None)
    return accept_mails(
        messages,
        tenant="acme",
        sender=sender,
        now=NOW,
        new_id=lambda: str(uuid4()),
        outbox=outbox,
        attachments=attachments,
    )


def rows(engine: Engine, statement: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def test_the_relay_publishes_an_order_once(outbox: SqlOutbox, engine: Engine) -> None:
    """The consumer can parse what was published, and the messages are `queued`."""
    first, later = submitted(outbox), submitted(outbox, NOW + timedelta(days=1), Lane.BULK)
    queue = MemoryQueue()

    published = [relay(outbox, queue, now=NOW), relay(outbox, queue, now=NOW + timedelta(hours=1))]

    assert published == [2, 0]
    words = [read(body, {}) for body in queue.bodies]
    assert words == [
        BatchOrder(first.batch_id, NOW, Lane.TRANSACTIONAL),
        BatchOrder(later.batch_id, NOW + timedelta(days=1), Lane.BULK),
    ]
    assert rows(engine, "select status from message order by due_at") == [(Status.QUEUED,), (Status.SCHEDULED,)]


def test_a_batch_waits_in_the_outbox_while_the_queue_is_away(outbox: SqlOutbox, engine: Engine) -> None:
    """Submitting needs the database only; unpublished orders are published when the queue is back."""
    output = submitted(outbox)
    queue = BrokenQueue()

    with pytest.raises(TransientError):
        relay(outbox, queue, now=NOW)
    queue.mended = True
    published = [relay(outbox, queue, now=NOW + timedelta(seconds=at)) for at in (20, 40)]

    assert published == [0, 1]
    assert [read(body, {}) for body in queue.bodies] == [BatchOrder(output.batch_id, NOW, Lane.TRANSACTIONAL)]
    assert rows(engine, "select status from message") == [(Status.QUEUED,)]


def test_the_relay_outlives_an_outage(outbox: SqlOutbox) -> None:
    """It runs beside the HTTP service for months; no failure may end it."""
    submitted(outbox)
    stop, failed = threading.Event(), threading.Event()

    class Stopping(BrokenQueue):
        def post(self, bodies: Sequence[str]) -> None:
            failed.set()
            super().post(bodies)

    thread = threading.Thread(target=run_relay, args=(outbox, Stopping(), stop))
    thread.start()
    failed.wait(30)
    alive = thread.is_alive()
    stop.set()
    thread.join(30)

    assert failed.is_set()
    assert alive
    assert not thread.is_alive()


def test_a_plain_producers_mail_is_read(engine: Engine) -> None:
    """Two attributes and three fields: any program with a queue client can write it."""
    assert read(plain(), PLAIN) == PlainMail("ada@users.test", "Hello", "Hello Ada", None)
    assert read(plain(), {"channel": "email", "type": "html"}) == PlainMail(
        "ada@users.test", "Hello", None, "Hello Ada"
    )


@pytest.mark.parametrize(
    ("body", "attributes"),
    [
        ("", PLAIN),
        ("[]", PLAIN),
        ("[" * 100_000, PLAIN),
        ("{}", PLAIN),
        ('{"to": ["a@b.test"], "subject": "s", "message": "m"}', PLAIN),
        ('{"to": "a@b.test", "subject": null, "message": "m"}', PLAIN),
        (plain(), {"channel": "sms"}),
        (plain(), {"channel": "email", "type": "pdf"}),
        ('{"batch_id": "7"}', {}),
        ('{"batch_id": "7", "due_at": 7}', {}),
        ('{"batch_id": "7", "due_at": "2026-11-22T09:30:00Z", "lane": "fast"}', {}),
    ],
)
def test_neither_order_nor_mail_is_refused_with_a_reason(body: str, attributes: dict[str, str]) -> None:
    """Receiving it again would not help; the consumer sets it aside and says why."""
    with pytest.raises(Unacceptable) as error:
        read(body, attributes)

    assert error.value.faults


def test_an_order_without_a_lane_waits_like_bulk() -> None:
    """Versions before the lanes wrote none, and it may be a newsletter."""
    assert read('{"batch_id": "7", "due_at": "2026-11-22T09:30:00Z"}', {}) == BatchOrder("7", NOW, Lane.BULK)


def test_plain_mails_that_arrive_together_are_one_batch(outbox: SqlOutbox, engine: Engine) -> None:
    """A thousand small messages must not be a thousand runs; two to the same person are still two mails."""
    came = accepted_from(outbox, received(plain()), received(plain(message="Other")), received(plain("bob@users.test")))

    assert came == Intake(3, {})
    assert rows(engine, "select messages from batch") == [(3,)]


def test_a_plain_mail_that_is_delivered_again_is_kept_once(outbox: SqlOutbox, engine: Engine) -> None:
    """SQS delivers at least once, and the second time together with other messages."""
    one, two = received(plain(), "sqs-1"), received(plain("bob@users.test"), "sqs-2")

    kept = [accepted_from(outbox, *some).kept for some in ([one], [one, two], [two, one])]

    assert kept == [1, 1, 0]
    assert len(rows(engine, "select id from message")) == 2


def test_a_bad_plain_mail_keeps_no_other_from_being_sent(outbox: SqlOutbox, engine: Engine) -> None:
    """One producer's mistake, received beside the mails of others."""
    bad = received(plain("nobody"), "bad")
    break_ = received(plain(subject="Hello\r\nBcc: eve@evil.test"), "break")
    half = received('{"to": "a@b.test", "subject": "s", "message": "\\ud800"}', "half")

    came = accepted_from(outbox, bad, received(plain()), break_, half)

    assert came.kept == 1
    assert {name: [fault.where[1:] for fault in faults] for name, faults in came.refused.items()} == {
        "bad": [("to",)],
        "break": [("subject",)],
        "half": [("text",)],
    }
    assert rows(engine, "select recipient from message") == [("ada@users.test",)]


def test_without_a_sender_nothing_is_taken_in(outbox: SqlOutbox) -> None:
    """The installation is misconfigured, not each of the mails."""
    with pytest.raises(Unacceptable, match="sending is not enabled on this installation"):
        accepted_from(outbox, received(plain()), sender="")


def test_the_key_is_the_queues_id_and_the_digest_the_bodys(outbox: SqlOutbox, engine: Engine) -> None:
    """The table of keys says which message of the queue became which batch."""
    accepted_from(outbox, received(plain(), "sqs-7"))

    assert rows(engine, "select key, sha256 from idempotency_key") == [
        ("sqs:sqs-7", hashlib.sha256(plain().encode()).hexdigest())
    ]


def test_plain_mails_of_a_stream_are_a_batch_of_their_own(outbox: SqlOutbox, engine: Engine) -> None:
    """A plain producer names it in the body; together with others each is in its stream, and each is accepted once."""
    bodies = [json.dumps(json.loads(plain(to=f"u{at}@users.test")) | more) for at, more in enumerate(
        ({}, {"stream": "weekly"}, {"stream": None}, {"stream": "weekly"})
    )]  # fmt: skip
    mails = [received(body) for body in bodies]

    intakes = [accepted_from(outbox, *mails), accepted_from(outbox, *mails)]

    assert [intake.kept for intake in intakes] == [4, 0]
    assert sorted(rows(engine, "select stream, messages from batch")) == [("transactional", 2), ("weekly", 2)]


@pytest.mark.parametrize("stream", ["Weekly", "", 5, ["weekly"], {"a": 1}, "a" * 64, "a\x00"])
def test_a_plain_mail_of_a_stream_that_is_none_is_unreadable(stream: object) -> None:
    """It stays on the queue for the dead letters, as every plain mail with a fault of shape."""
    with pytest.raises(Unacceptable):
        read(json.dumps(json.loads(plain()) | {"stream": stream}), PLAIN)
