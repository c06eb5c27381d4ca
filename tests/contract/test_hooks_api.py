"""Provider webhooks over HTTP on PostgreSQL: authenticated, stored before the response, handled once."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.delivery.hooks import SqlHooks
from mailroom.api.app import create_app
from mailroom.api.hooks.hook_receiver import HookReceiver
from mailroom.delivery.provider_events import sendgrid, sns
from mailroom.delivery.provider_events.credentials import Credential
from mailroom.delivery.provider_events.fields import MOST_BODY_BYTES, MOST_EVENTS
from mailroom.delivery.provider_events.registered import verifiers
from mailroom.delivery.tracking import Tracking
from mailroom.domain.errors import TransientError
from mailroom.testing.api import NOW, Memory, TestClient
from mailroom.testing.queue import MemoryQueue
from mailroom.testing.sns import MemoryCertificates, MemoryTopics
from tests.support.sns_posts import certificate, sns_post

HOOKS = Path(__file__).resolve().parents[1] / "data" / "hooks"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:mailroom-tracking"
MESSAGE = "0190a1b2-0000-7000-8000-00000000000a"
BASIC = {"Authorization": "Basic " + base64.b64encode(b"postmark:secret").decode()}


@cache
def private_key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(7 + number, ec.SECP256R1())


def public_key(number: int = 0) -> str:
    der = (
        private_key(number)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return base64.b64encode(der).decode()


@dataclass
class Case:
    """The service with webhooks on a database, and what waits in it."""

    client: TestClient
    engine: Engine
    certificates: MemoryCertificates
    topics: MemoryTopics

    def rows(self, statement: str) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement)))

    @property
    def stored(self) -> int:
        return len(self.rows("select id from hook"))

    def track(self) -> int:
        return Tracking(SqlEvents(self.engine), SqlHooks(self.engine), MemoryQueue(), clock=lambda: NOW).once()


@pytest.fixture
def case(engine: Engine) -> Case:
    certificates, topics = MemoryCertificates(certificate()), MemoryTopics(TOPIC)
    hook_receiver = HookReceiver(
        hooks=SqlHooks(engine),
        topics=topics,
        ses=sns.Verifier(certificates, topics=frozenset({TOPIC})),
        verifiers=verifiers(
            {"sendgrid": f"{public_key()} other={public_key(1)}", "postmark": "postmark:secret other=their:word"}
        ),
        ses_tenants={TOPIC: None},
    )
    services = replace(Memory().services(), hook_receiver=hook_receiver, events=SqlEvents(engine))
    return Case(TestClient(create_app(services), base_url="http://mail.example"), engine, certificates, topics)


@pytest.fixture
def message(engine: Engine) -> str:
    """A sent message of acme's that the recorded calls report on."""
    statements = (
        "insert into tenant (id, created_at) values ('acme', now())",
        """insert into batch (id, tenant, "from", lane, policy, metadata, messages, created_at)
           values (gen_random_uuid(), 'acme', '{}', 'bulk', 'prefer_no_duplicate', '{}', 1, now())""",
        f"""insert into message (id, batch_id, number, tenant, recipient, "to", reference, content, size, status, due_at,
              handed_at, attempts, created_at, changed_at)
           select '{MESSAGE}', id, 0, 'acme', 'ada@users.test', '{{}}', '', 0, 0, 'dispatched', now(), now(), 1, now(),
              now() from batch""",
    )
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    return MESSAGE


def payload(name: str) -> bytes:
    return (HOOKS / f"{name}.json").read_bytes()


def signed(body: bytes, *, at: datetime = NOW, number: int = 0) -> dict[str, str]:
    timestamp = str(int(at.timestamp()))
    signature = private_key(number).sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    return {sendgrid.SIGNATURE_HEADER: base64.b64encode(signature).decode(), sendgrid.TIMESTAMP_HEADER: timestamp}


def published(name: str) -> bytes:
    """Return SNS's post of an event that SES published."""
    return sns_post(TOPIC, payload(name).decode())


def test_twilios_own_example_is_verified() -> None:
    """Published with Twilio's libraries: the line break at the body's end is signed too."""
    key = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
    body = (
        b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","sg_event_id":"ZHJvcC0xMDk5NDkxOS1M'
        b'UnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA","sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl'
        b'-18-5F5FC76C-9.0","smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
    )
    signature = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
    verifier = sendgrid.Verifier([Credential(key)])
    signed_at = datetime.fromtimestamp(1600112502, UTC)

    assert verifier.check(body, signature=signature, timestamp="1600112502", now=signed_at) is None
    with pytest.raises(sns.Unverified):
        verifier.check(body.rstrip(), signature=signature, timestamp="1600112502", now=signed_at)


def test_calls_of_each_provider_become_activities(case: Case, message: str) -> None:
    """Stored, answered, then handled by the worker: three providers report on one message, which all sent for the test."""
    assert case.client.post("/hooks/ses", content=published("ses/delivery")).status_code == 204
    assert case.stored == 1

    handled = case.track()

    assert handled == 1
    assert [tuple(row) for row in case.rows("select status, provider from message")] == [("delivered", "ses")]
    assert case.track() == 0


@pytest.mark.parametrize("provider", ["sendgrid", "postmark"])
def test_other_providers_too(case: Case, message: str, provider: str) -> None:
    """The same route and the same steps for each provider."""
    name = {"sendgrid": "sendgrid/bounce", "postmark": "postmark/bounce-hard"}[provider]
    body = payload(name)
    headers = signed(body) if provider == "sendgrid" else BASIC

    assert case.client.post(f"/hooks/{provider}", content=body, headers=headers).status_code == 204
    case.track()

    assert [row.status for row in case.rows("select status from message")] == ["bounced"]
    assert [row.reason for row in case.rows("select reason from suppression")] == ["hard_bounce"]


@pytest.mark.parametrize("provider", ["ses", "sendgrid", "postmark"])
def test_the_same_call_a_hundred_times_is_counted_once(case: Case, message: str, provider: str) -> None:
    """G76: providers repeat, and an attacker may replay a recorded call within the window."""
    body = {"ses": published("ses/open"), "sendgrid": payload("sendgrid/open"), "postmark": payload("postmark/open")}[
        provider
    ]
    headers = {"sendgrid": signed(body), "postmark": BASIC}.get(provider, {})

    answers = {case.client.post(f"/hooks/{provider}", content=body, headers=headers).status_code for _ in range(100)}
    case.track()

    assert answers == {204}
    assert case.stored == 1
    assert len(case.rows("select id from activity where event_id is not null")) == 1


@pytest.mark.parametrize(
    "later",
    [timedelta(hours=1), timedelta(days=365), timedelta(hours=-1)],
    ids=["an hour old", "a year old", "in the future"],
)
def test_stamp_outside_the_window_is_refused(case: Case, later: timedelta) -> None:
    """G76: a recorded call stays genuine for ever; only its timestamp limits that."""
    body = payload("sendgrid/open")

    answer = case.client.post("/hooks/sendgrid", content=body, headers=signed(body, at=NOW - later))

    assert answer.status_code == 403
    assert case.stored == 0


_WRONG: dict[str, Callable[[], list[tuple[str, str]]]] = {
    "none": list,
    "wrong password": lambda: [("Authorization", "Basic " + base64.b64encode(b"postmark:wrong").decode())],
    "longer": lambda: [("Authorization", "Basic " + base64.b64encode(b"postmark:secretsecret").decode())],
    "prefix": lambda: [("Authorization", "Basic " + base64.b64encode(b"postmark:secre").decode())],
    "empty": lambda: [("Authorization", "")],
    "empty pair": lambda: [("Authorization", "Basic " + base64.b64encode(b":").decode())],
    "no base64": lambda: [("Authorization", "Basic postmark:secret")],
    "other scheme": lambda: [("Authorization", BASIC["Authorization"].replace("Basic", "Bearer"))],
    "twice": lambda: [*BASIC.items(), *BASIC.items()],
    "as query": list,
}


@pytest.mark.parametrize("wrong", _WRONG)
def test_wrong_credentials_store_nothing(case: Case, wrong: str) -> None:
    """G72: no, wrong or empty secret, one of another length, or the header twice."""
    url = "/hooks/postmark" + ("?user=postmark&password=secret" if wrong == "as query" else "")

    answer = case.client.post(url, content=payload("postmark/open"), headers=_WRONG[wrong]())

    assert answer.status_code == 401
    assert case.stored == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda _: {},
        lambda headers: headers | {sendgrid.SIGNATURE_HEADER: ""},
        lambda headers: headers | {sendgrid.SIGNATURE_HEADER: "AAAA"},
        lambda headers: headers | {sendgrid.SIGNATURE_HEADER: "%%%"},
        lambda headers: headers | {sendgrid.TIMESTAMP_HEADER: "0"},
        lambda headers: headers | {sendgrid.TIMESTAMP_HEADER: "9" * 5000},
        lambda headers: headers | {sendgrid.TIMESTAMP_HEADER: "now"},
        lambda headers: {name: value for name, value in headers.items() if name != sendgrid.TIMESTAMP_HEADER},
    ],
)
def test_wrong_signatures_store_nothing(case: Case, change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
    """G72: anything but SendGrid's own signature over exactly this body."""
    body = payload("sendgrid/open")

    answer = case.client.post("/hooks/sendgrid", content=body, headers=change(signed(body)))

    assert answer.status_code in (401, 403)
    assert case.stored == 0


def test_signature_of_another_key_or_body_is_refused(case: Case) -> None:
    """Anybody can make a key, and a genuine signature is over one body."""
    body = payload("sendgrid/open")

    assert case.client.post("/hooks/sendgrid", content=body, headers=signed(body, number=2)).status_code == 403
    assert case.client.post("/hooks/sendgrid", content=body + b" ", headers=signed(body)).status_code == 403
    assert case.stored == 0


def test_post_that_is_not_proven_stores_nothing(case: Case) -> None:
    """G74: what SNS did not sign changes nothing and causes no request."""
    answer = case.client.post(
        "/hooks/ses", json={"Type": "SubscriptionConfirmation", "SubscribeURL": "http://169.254.169.254/"}
    )

    assert answer.status_code == 403
    assert (case.stored, case.topics.confirmed) == (0, [])


def test_subscription_is_confirmed_through_the_api(case: Case) -> None:
    """G74: the token goes to SNS's API; the URL of the message is not requested."""
    asked = {"Type": "SubscriptionConfirmation", "Token": "token", "SubscribeURL": "http://169.254.169.254/"}

    assert case.client.post("/hooks/ses", content=sns_post(TOPIC, "confirm", **asked)).status_code == 204
    assert (case.stored, case.topics.confirmed) == (0, [(TOPIC, "token")])


def test_certificate_that_cannot_be_had_now_is_answered_so_that_it_comes_again(case: Case) -> None:
    """The post may be genuine; SNS repeats what is answered with 5xx, and drops what is answered with 4xx."""
    case.certificates.pem = TransientError("an SNS signing certificate cannot be fetched now")

    assert case.client.post("/hooks/ses", content=published("ses/delivery")).status_code == 503
    assert case.stored == 0


@pytest.mark.parametrize("path", ["ses", "sendgrid", "postmark"])
def test_body_over_a_megabyte_is_not_read(case: Case, path: str) -> None:
    """The routes are open to everybody; a body over the limit is refused unread."""
    answer = case.client.post(f"/hooks/{path}", content=b" " * (MOST_BODY_BYTES + 1), headers=BASIC)

    assert answer.status_code == 413
    assert case.stored == 0


def test_more_than_a_thousand_events_are_refused(case: Case) -> None:
    """The limit holds for verified calls too."""
    body = json.dumps([{"event": "open"}] * (MOST_EVENTS + 1)).encode()

    assert case.client.post("/hooks/sendgrid", content=body, headers=signed(body)).status_code == 422
    assert case.stored == 0


def test_event_of_another_tenants_account_touches_nothing(case: Case, message: str) -> None:
    """G77: an account that belongs to one tenant may report on that tenant's mail only."""
    body = payload("postmark/bounce-hard")
    other = {"Authorization": "Basic " + base64.b64encode(b"their:word").decode()}
    signed_by_other = payload("sendgrid/bounce")

    assert case.client.post("/hooks/postmark", content=body, headers=other).status_code == 204
    headers = signed(signed_by_other, number=1)
    assert case.client.post("/hooks/sendgrid", content=signed_by_other, headers=headers).status_code == 204
    case.track()

    assert [row.status for row in case.rows("select status from message")] == ["dispatched"]
    assert len(case.rows("select id from parked_event")) == 2


@pytest.mark.parametrize(
    "header",
    [
        {"X-Forwarded-For": "3.134.147.250"},
        {"X-Real-IP": "3.134.147.250"},
        {"X-Forwarded-User": "root"},
        {"Host": "127.0.0.1"},
    ],
    ids=lambda header: next(iter(header)),
)
def test_forged_headers_prove_nothing(case: Case, header: dict[str, str]) -> None:
    """G83: any client may send an address of Postmark's in a header."""
    answer = case.client.post("/hooks/postmark", content=payload("postmark/open"), headers=header)

    assert answer.status_code == 401
    assert case.stored == 0


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch"])
def test_hooks_are_posted_to(case: Case, method: str) -> None:
    """A link to a webhook does nothing."""
    assert getattr(case.client, method)("/hooks/postmark", headers=BASIC).status_code == 405


def test_a_hook_without_its_secret_accepts_no_call(engine: Engine) -> None:
    """Fail closed."""
    hook_receiver = HookReceiver(
        hooks=SqlHooks(engine),
        topics=MemoryTopics(),
        ses=sns.Verifier(MemoryCertificates(certificate()), topics=frozenset()),
        verifiers=verifiers({"postmark": "nopassword user: :password"}),
    )
    client = TestClient(create_app(replace(Memory().services(), hook_receiver=hook_receiver)))
    body = payload("sendgrid/open")
    blank = {"Authorization": "Basic " + base64.b64encode(b"user:").decode()}

    assert client.post("/hooks/sendgrid", content=body, headers=signed(body)).status_code == 403
    assert client.post("/hooks/postmark", content=body, headers=blank).status_code == 401
    assert TestClient(create_app(Memory().services())).post("/hooks/ses").status_code == 404


def test_what_waits_is_counted(case: Case) -> None:
    """Unhandled calls, and events of no message of ours, show before anybody misses a status."""
    for name in ("postmark/delivery", "postmark/open"):
        case.client.post("/hooks/postmark", content=payload(name), headers=BASIC)
    before = case.client.get("/metrics").text
    case.track()
    after = case.client.get("/metrics").text

    assert "mailroom_hooks_waiting 2\n" in before
    assert "mailroom_hooks_waiting 0\n" in after
    assert 'mailroom_parked_events{state="waiting"} 2\n' in after
    assert "mailroom_parked_oldest_seconds 0\n" in after
