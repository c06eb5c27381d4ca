"""SNS posts to /hooks/inbound: what it signed is queued once, everything else is refused."""

from datetime import timedelta
from typing import Any

import pytest

from mailroom.api.app import create_app
from mailroom.api.services import InboundHook
from mailroom.delivery.provider_events.sns import Verifier
from mailroom.domain.errors import TransientError
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.testing.api import NOW, Memory, TestClient
from mailroom.testing.notices import ses_notice
from mailroom.testing.queue import MemoryQueue
from mailroom.testing.sns import MemoryCertificates, MemoryOnce, MemoryTopics
from tests.support.sns_posts import certificate, sns_post

TOPIC = "arn:aws:sns:eu-west-1:123456789012:mailroom-inbound"
NOTICE = ses_notice(ObjectRef("mails", "in/abc"), "anna@acme.test")


class Queue(MemoryQueue):
    """Cannot be written to while `down`."""

    down = False

    def post(self, bodies: Any) -> None:
        if self.down:
            raise TransientError("AWS is temporarily unavailable")
        super().post(bodies)


class Desk:
    """The service with its hook, its queue and its certificates."""

    def __init__(self) -> None:
        self.certificates, self.once = MemoryCertificates(certificate()), MemoryOnce()
        self.subscriptions, self.queue = MemoryTopics(TOPIC), Queue()
        verifier = Verifier(self.certificates, topics=frozenset({TOPIC}))
        hook = InboundHook(verifier, self.subscriptions, self.once, self.queue)
        self.client = TestClient(create_app(Memory().services(inbound_hook=hook)), base_url="http://mail.example")

    def post(self, body: bytes) -> int:
        return int(self.client.post("/hooks/inbound", content=body).status_code)


@pytest.fixture
def hook_service() -> Desk:
    return Desk()


def signed(**changes: Any) -> bytes:
    return sns_post(changes.pop("TopicArn", TOPIC), NOTICE, **changes)


def test_notice_is_queued_as_sns_would_queue_it(hook_service: Desk) -> None:
    """The listener reads both alike."""
    assert hook_service.post(signed()) == 204

    assert hook_service.queue.bodies == [NOTICE]


def test_notice_that_is_sent_again_is_queued_once(hook_service: Desk) -> None:
    """SNS delivers at least once, and a recorded post can be replayed by anybody for an hour."""
    answers = [hook_service.post(signed()) for _ in range(100)]

    assert set(answers) == {204}
    assert len(hook_service.queue) == 1


def test_notice_that_could_not_be_queued_is_sent_again(hook_service: Desk) -> None:
    """Acknowledged before it is queued, it would be lost; the failed try leaves nothing behind."""
    hook_service.queue.down = True
    assert hook_service.post(signed()) == 503
    hook_service.queue.down = False

    assert hook_service.post(signed()) == 204
    assert hook_service.queue.bodies == [NOTICE]


def test_certificate_that_cannot_be_fetched_now_is_no_refusal(hook_service: Desk) -> None:
    """SNS comes again after a 503, and gives up after a 403."""
    hook_service.certificates.pem = TransientError("the signing certificate cannot be had")

    assert hook_service.post(signed()) == 503


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        NOTICE.encode(),
        signed(TopicArn=TOPIC + "-other"),
        signed(SignatureVersion="1"),
        signed(Timestamp=(NOW - timedelta(hours=2)).isoformat()),
        signed(Timestamp=(NOW + timedelta(hours=2)).isoformat()),
        signed(SigningCertURL="https://evil.test/SimpleNotificationService-x.pem"),
        signed().replace(b"anna", b"mary"),
    ],
    ids=["empty", "no post", "no envelope", "topic", "SHA-1", "old", "future", "certificate", "changed"],
)
def test_what_sns_did_not_sign_for_us_is_refused(hook_service: Desk, body: bytes) -> None:
    """The route is open to the internet, and an accepted post makes us read objects of the bucket. The response does not name the failed check."""
    answer = hook_service.client.post("/hooks/inbound", content=body)

    assert (answer.status_code, answer.json()["detail"]) == (
        403,
        "Not a message of an allowed SNS topic.",
    )
    assert len(hook_service.queue) == 0


def test_body_over_the_limit_is_refused_unread(hook_service: Desk) -> None:
    """No SNS message is that large."""
    assert hook_service.post(b" " * (1024 * 1024 + 1)) == 413


def test_subscription_is_confirmed_through_the_api(hook_service: Desk) -> None:
    """The address in the post is the metadata service's; nothing calls it."""
    url = "http://169.254.169.254/latest/meta-data/"
    about = {"Type": "SubscriptionConfirmation", "Token": "tok", "SubscribeURL": url}

    assert hook_service.post(signed(**about)) == 204
    assert hook_service.subscriptions.confirmed == [(TOPIC, "tok")]
    assert hook_service.post(signed(**about, TopicArn=TOPIC + "-other")) == 403
    assert len(hook_service.subscriptions.confirmed) == 1


def test_end_of_a_subscription_changes_nothing(hook_service: Desk) -> None:
    """The message is accepted, and nothing is to be done."""
    body = signed(Type="UnsubscribeConfirmation", Token="t", SubscribeURL="https://x.test/")

    assert hook_service.post(body) == 204
    assert (hook_service.subscriptions.confirmed, len(hook_service.queue)) == ([], 0)


def test_signed_message_about_something_else_is_refused(hook_service: Desk) -> None:
    """On the queue it would only be a dead letter."""
    assert hook_service.post(signed(Message='{"hello": 1}')) == 422
    assert len(hook_service.queue) == 0


def test_installation_without_the_hook_has_no_such_route() -> None:
    """A route that nobody needs stays closed."""
    client = TestClient(create_app(Memory().services()), base_url="http://mail.example")

    assert client.post("/hooks/inbound", content=signed()).status_code == 404
