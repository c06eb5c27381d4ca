"""SNS posts and what verifies them, in memory and with the emulator.

Signatures verify, certificates are fetched, and each message is taken once.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import boto3
import pytest

from mailroom.adapters.aws.sns import SnsCertificates, SnsTopics
from mailroom.adapters.postgres.delivery.hooks import SqlDeduplicator
from mailroom.api.services import Deduplicator, Subscriptions
from mailroom.delivery.provider_events.sns import Notification, Unverified, Verifier
from mailroom.domain.errors import PermanentError, TransientError
from mailroom.testing.sns import MemoryOnce, MemoryTopics

NOW = datetime.now(UTC)


class _Endpoint(BaseHTTPRequestHandler):
    posts: list[bytes]

    def do_POST(self) -> None:
        self.posts.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint() -> Iterator[Any]:
    kind = type("Endpoint", (_Endpoint,), {"posts": []})
    server = HTTPServer(("127.0.0.1", 0), kind)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    kind.url = f"http://127.0.0.1:{server.server_port}/"  # type: ignore[attr-defined]
    yield kind
    server.shutdown()
    server.server_close()


@pytest.fixture
def sns(emulator: str) -> Any:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    return boto3.client("sns", region_name="eu-west-1", endpoint_url=emulator, **keys)


def test_post_of_the_emulator_is_verified_with_its_certificate(emulator: str, sns: Any, endpoint: Any) -> None:
    """The sandbox signs with real keys, so all steps are tested on a laptop too; the certificate is fetched once."""
    topic = sns.create_topic(Name="inbound")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url)
    sns.publish(TopicArn=topic, Message="hello")
    certificates = SnsCertificates(emulator=emulator)
    body = next(post for post in endpoint.posts if json.loads(post)["Type"] == "Notification")

    read = Verifier(certificates, topics=frozenset({topic})).read(body, now=datetime.now(UTC))

    assert isinstance(read, Notification)
    assert read.message == "hello"
    url = json.loads(body)["SigningCertURL"]
    assert certificates.fetch(url) == certificates.fetch(url)


def test_certificate_that_is_not_there_is_a_refusal_and_one_that_cannot_be_had_is_not(emulator: str) -> None:
    """A page of another kind, and a server that does not answer."""
    missing = "https://sns.eu-west-1.amazonaws.com/Other-00.pem"

    with pytest.raises(Unverified):
        SnsCertificates(emulator=emulator).fetch(missing)
    with pytest.raises(TransientError):
        SnsCertificates(emulator="http://127.0.0.1:1").fetch(missing)


@pytest.fixture(params=["memory", "sns"])
def topics(request: pytest.FixtureRequest) -> tuple[Subscriptions, str]:
    """What confirms, and the topic that may be confirmed."""
    if request.param == "memory":
        return MemoryTopics("arn:memory"), "arn:memory"
    sns = request.getfixturevalue("sns")
    return SnsTopics(sns), sns.create_topic(Name="confirmed")["TopicArn"]


def test_token_that_sns_does_not_know_confirms_nothing(topics: tuple[Subscriptions, str]) -> None:
    """The confirmation goes through the API, with our own credentials."""
    subscriptions, topic = topics

    subscriptions.confirm(topic, "token")

    with pytest.raises(PermanentError):
        subscriptions.confirm("arn:aws:sns:eu-west-1:123456789012:no-topic", "token")


@pytest.fixture(params=["memory", "sql"])
def once(request: pytest.FixtureRequest) -> Deduplicator:
    return MemoryOnce() if request.param == "memory" else SqlDeduplicator(request.getfixturevalue("engine"))


def test_message_is_taken_once_and_not_at_all_where_taking_failed(once: Deduplicator) -> None:
    """Record and action go together: if the queue is away, the message can be sent again."""
    done = list[str]()

    def fails() -> None:
        raise TransientError("away")

    with pytest.raises(TransientError):
        once.do("sns", "m-1", fails, now=NOW)

    assert [once.do("sns", "m-1", lambda: done.append("x"), now=NOW) for _ in range(3)] == [True, False, False]
    assert once.do("other", "m-1", lambda: done.append("y"), now=NOW)
    assert done == ["x", "y"]
