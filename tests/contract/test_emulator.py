"""Events of the emulator's SES: published to the tracking topic, signed by SNS, and read by us."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import uvicorn
from moto.sqs.models import SQSBackend, sqs_backends
from sqlalchemy import Engine

from mailroom.adapters.aws.clients import emulator_of
from mailroom.adapters.aws.sns import SnsCertificates, SnsTopics
from mailroom.adapters.postgres.delivery.hooks import SqlHooks
from mailroom.api.app import create_app
from mailroom.api.hooks.hook_receiver import HookReceiver
from mailroom.delivery.provider_events import ses
from mailroom.delivery.provider_events.registered import verifiers
from mailroom.delivery.provider_events.sns import Notification, Unverified, Verifier
from mailroom.domain.delivery.events import Actor, Kind
from mailroom.domain.errors import PermanentError
from mailroom.sandbox.stack.aws import Names, provision
from mailroom.sandbox.stack.environment import aws_environment
from mailroom.sandbox.stack.ports import answers
from mailroom.sandbox.stand_ins.emulator import EventPublisher, is_retained
from mailroom.testing.api import Memory
from tests.support.loopback_ports import free_port

OUR_ID = "0190a1b2-0000-7000-8000-00000000000a"


@pytest.fixture(scope="module")
def stack(aws: str) -> dict[str, str]:
    names = Names(stem="eventstest")
    first = provision(names)
    assert provision(names) == first
    return first


@pytest.fixture(scope="module")
def publisher(stack: dict[str, str]) -> EventPublisher:
    sns = boto3.client("sns")
    made = EventPublisher(lambda topic, text: sns.publish(TopicArn=topic, Message=text))
    # moto's state belongs to the process: the events of earlier tests are published first, and are not ours.
    made.once()
    received_events(stack)
    return made


def send(to: str) -> str:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "desk@mailroom.test", to, "a subject"
    mail["X-Correlation-ID"] = OUR_ID
    mail.set_content("hello")
    raw = {"Raw": {"Data": mail.as_bytes()}}
    sent = boto3.client("sesv2").send_email(Destination={"ToAddresses": [to]}, Content=raw)
    return str(sent["MessageId"])


def received_events(stack: dict[str, str]) -> list[str]:
    """Return the bodies that wait in the tracking queue, and empty it."""
    sqs, found, url = boto3.client("sqs"), [], stack["tracking_queue_url"]
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            found.append(message["Body"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize(
    ("to", "kinds"),
    [
        ("ada@users.test", [Kind.SENT, Kind.DELIVERED]),
        ("bounce@users.test", [Kind.SENT, Kind.DELIVERED]),
        ("success@simulator.amazonses.com", [Kind.SENT, Kind.DELIVERED]),
        ("bounce@simulator.amazonses.com", [Kind.SENT, Kind.BOUNCED_HARD]),
        ("complaint@simulator.amazonses.com", [Kind.SENT, Kind.DELIVERED, Kind.COMPLAINED]),
        ("suppressionlist@simulator.amazonses.com", [Kind.SENT, Kind.SUPPRESSED]),
        ("bounce+7@users.test", [Kind.SENT, Kind.BOUNCED_HARD]),
        ("latebounce+7@users.test", [Kind.SENT, Kind.DELIVERED, Kind.BOUNCED_HARD]),
        ("softbounce+7@users.test", [Kind.SENT, Kind.BOUNCED_SOFT]),
        ("complaint+7@users.test", [Kind.SENT, Kind.DELIVERED, Kind.COMPLAINED]),
        ("delay+7@users.test", [Kind.SENT, Kind.DELAYED]),
        ("reject+7@users.test", [Kind.SENT, Kind.REJECTED]),
        ("open+7@users.test", [Kind.SENT, Kind.DELIVERED, Kind.OPENED]),
        ("click+7@users.test", [Kind.SENT, Kind.DELIVERED, Kind.OPENED, Kind.CLICKED]),
        ("ooto+7@users.test", [Kind.SENT, Kind.DELIVERED, Kind.AUTORESPONDED]),
        ("silent+7@users.test", [Kind.SENT]),
    ],
)
def test_what_becomes_of_a_mail_is_published(
    stack: dict[str, str], publisher: EventPublisher, to: str, kinds: list[Kind]
) -> None:
    """Each outcome can be had on a laptop by the recipient's address; each is published once."""
    message_id = send(to)

    published = publisher.once(), publisher.once()
    events = [event for body in received_events(stack) for event in ses.read(ses.unwrapped(body), received_at=now())]

    assert published == (1, 0)
    assert sorted(event.kind for event in events) == sorted(kinds)
    assert {(event.provider_message_id, event.message_id) for event in events} == {(message_id, OUR_ID)}
    assert len({event.event_id for event in events}) == len(events)
    assert {event.recipient for event in events} <= {to, None}


def test_people_and_scanners_are_distinguished(stack: dict[str, str], publisher: EventPublisher) -> None:
    """Both click; one within a second."""
    send("click+1@users.test")
    send("scanner+1@users.test")

    publisher.once()
    events = [event for body in received_events(stack) for event in ses.read(ses.unwrapped(body), received_at=now())]

    actors = sorted(event.actor for event in events if event.kind is Kind.CLICKED)
    assert actors == [Actor.HUMAN, Actor.MACHINE]


def verifier(emulator: str | None, stack: dict[str, Any]) -> Verifier:
    topics = frozenset({stack["tracking_topic_arn"]})
    return Verifier(SnsCertificates(emulator=emulator), topics=topics)


def test_what_sns_delivers_is_signed_so_that_our_verifier_believes_it(
    stack: dict[str, str], publisher: EventPublisher, emulator: str
) -> None:
    """End to end with real keys: topic, signature version 2, certificate at SNS's own address, our verifier."""
    send("ada@users.test")
    publisher.once()
    [first, *_] = received_events(stack)
    forged = json.dumps(json.loads(first) | {"Message": "{}"})

    read = verifier(emulator, stack).read(first.encode(), now=now())

    assert isinstance(read, Notification)
    assert ses.read(read.message, received_at=now())
    with pytest.raises(Unverified):
        verifier(emulator, stack).read(forged.encode(), now=now())
    with pytest.raises(Unverified):
        verifier(emulator, stack).read(first.encode(), now=now() + timedelta(hours=2))


@contextmanager
def served(hook_receiver: HookReceiver) -> Iterator[str]:
    """Serve the hooks over HTTP for the length of a block."""
    app = create_app(replace(Memory().services(), hook_receiver=hook_receiver, now=now))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=server.run, args=[[listening]])
        thread.start()
        wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


def test_post_of_the_topic_is_verified_and_kept(
    stack: dict[str, str], publisher: EventPublisher, emulator: str, engine: Engine
) -> None:
    """Over HTTP from SNS to `/hooks/ses`, with nothing in between: only what the topic signed is stored."""
    hooks, sns = SqlHooks(engine), boto3.client("sns")
    hook_receiver = HookReceiver(
        hooks=hooks,
        topics=SnsTopics(sns),
        ses=verifier(emulator, stack),
        verifiers=verifiers({}),
    )
    with served(hook_receiver) as url:
        subscribed = sns.subscribe(TopicArn=stack["tracking_topic_arn"], Protocol="http", Endpoint=f"{url}/hooks/ses")
        send("bounce+1@users.test")
        publisher.once()
        sns.unsubscribe(SubscriptionArn=subscribed["SubscriptionArn"])
        forged = httpx.post(f"{url}/hooks/ses", content=received_events(stack)[0].replace("eventType", "eventTypo"))

    with hooks.taken(most=10, now=now()) as kept:
        kinds = [event.kind for hook in kept for event in ses.read(hook.body, received_at=now())]
    assert sorted(kinds) == sorted([Kind.SENT, Kind.BOUNCED_HARD])
    assert forged.status_code == 403


def test_certificate_is_asked_for_once(stack: dict[str, str], publisher: EventPublisher, emulator: str) -> None:
    """A hundred posts a second must not be a hundred requests."""
    send("ada@users.test")
    publisher.once()
    [first, *_] = received_events(stack)
    url = json.loads(first)["SigningCertURL"]
    certificates = SnsCertificates(emulator=emulator)

    pem = certificates.fetch(url)

    assert pem.startswith(b"-----BEGIN CERTIFICATE-----")
    assert certificates.fetch(url) is pem


def test_token_of_no_subscription_confirms_nothing(emulator: str, stack: dict[str, str]) -> None:
    """The API decides, and a refused token is not tried again."""
    sns = boto3.client("sns")

    assert emulator_of(sns) == emulator
    with pytest.raises(PermanentError):
        SnsTopics(sns).confirm(stack["tracking_topic_arn"] + "-none", "token")


def test_sandbox_process_publishes_events(tmp_path: Path) -> None:
    """`mailroom up` starts it as this process: moto's server and the events in one."""
    port = free_port()
    with pytest.MonkeyPatch.context() as environment, (tmp_path / "log").open("wb") as log:
        for name, value in aws_environment(f"http://127.0.0.1:{port}").items():
            environment.setenv(name, value)
        command = [sys.executable, "-m", "mailroom.sandbox.stand_ins.emulator", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_until(lambda: answers(port))
            stack = provision(Names())
            send("open+1@users.test")
            bodies: list[str] = []
            wait_until(lambda: bodies.extend(received_events(stack)) is None and len(bodies) == 3)
        finally:
            process.terminate()
            process.wait(10)

    kinds = [event.kind for body in bodies for event in ses.read(ses.unwrapped(body), received_at=now())]
    assert sorted(kinds) == sorted([Kind.SENT, Kind.DELIVERED, Kind.OPENED])


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(("age_s", "retained"), [(0, True), (59, True), (61, False)])
def test_queue_keeps_a_message_as_long_as_motos_own_does(aws: str, age_s: int, retained: bool) -> None:
    """The emulator answers like moto, but without counting the queue for each message."""
    url = boto3.client("sqs").create_queue(QueueName="kept", Attributes={"MessageRetentionPeriod": "60"})["QueueUrl"]
    boto3.client("sqs").send_message(QueueUrl=url, MessageBody="one")
    backend: SQSBackend = sqs_backends["123456789012"]["eu-west-1"]
    message = backend.get_queue("kept").messages[-1]
    message.sent_timestamp -= age_s * 1000  # type: ignore[operator, assignment]

    answers = is_retained(backend, "kept", message), backend.is_message_valid_based_on_retention_period("kept", message)

    assert answers == (retained, retained)
