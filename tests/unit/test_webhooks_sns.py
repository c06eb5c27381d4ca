"""SNS's posts: what SNS signed is read, everything else is refused before any call is made."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from mailroom.delivery.provider_events.sns import (
    MOST_BODY_BYTES,
    Notification,
    Subscription,
    Unsubscription,
    Unverified,
    Verifier,
    signed_text,
)
from mailroom.domain.errors import TransientError
from mailroom.testing.sns import MemoryCertificates

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
TOPIC = "arn:aws:sns:eu-west-1:123456789012:mailroom-inbound"
URL = f"https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-{'0a' * 16}.pem"


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def certificate(key: Any = None, *, starts: datetime = NOW - timedelta(days=1), days: int = 30) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(7)
    made = made.public_key((key or rsa_key()).public_key())
    made = made.not_valid_before(starts).not_valid_after(starts + timedelta(days=days))
    return made.sign(rsa_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def certificates_with(pem: bytes | Exception | None = None) -> MemoryCertificates:
    """Return SNS's certificates: one, or the error of fetching it."""
    return MemoryCertificates(pem or certificate())


def notification(**changes: Any) -> dict[str, Any]:
    return {
        "Type": "Notification",
        "MessageId": "4a1e6f0e-0000-5000-8000-000000000001",
        "TopicArn": TOPIC,
        "Message": '{"notificationType": "Received"}',
        "Timestamp": "2026-11-22T02:59:58.123Z",
        "SignatureVersion": "2",
        "SigningCertURL": URL,
        "UnsubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe",
    } | changes


def about_subscription(kind: str) -> dict[str, Any]:
    asked = {"Type": kind, "Token": "2336412f37", "SubscribeURL": "http://169.254.169.254/latest/meta-data/"}
    return notification(**asked)


def signed(post: dict[str, Any], key: rsa.RSAPrivateKey | None = None, algorithm: Any = hashes.SHA256) -> bytes:
    text = signed_text({name: value for name, value in post.items() if isinstance(value, str)})
    signature = (key or rsa_key()).sign(text, padding.PKCS1v15(), algorithm())
    return json.dumps(post | {"Signature": base64.b64encode(signature).decode()}).encode()


def verifier(certificates: MemoryCertificates | None = None, **how: Any) -> Verifier:
    return Verifier(certificates or certificates_with(), topics=frozenset({TOPIC}), **how)


def refused(body: bytes, certificates: MemoryCertificates | None = None, now: datetime = NOW, **how: Any) -> str:
    with pytest.raises(Unverified) as caught:
        verifier(certificates, **how).read(body, now=now)
    return str(caught.value.facts["step"])


def test_notification_is_read() -> None:
    """What SES publishes comes as text inside the post."""
    read = verifier().read(signed(notification()), now=NOW)

    published_at = datetime(2026, 11, 22, 2, 59, 58, 123000, tzinfo=UTC)
    message_id = "4a1e6f0e-0000-5000-8000-000000000001"
    assert read == Notification(TOPIC, message_id, '{"notificationType": "Received"}', published_at)


def test_subject_is_signed_where_there_is_one() -> None:
    """SES sets a subject and S3 sets none; libraries that insist on either refuse the other's posts."""
    read = verifier().read(signed(notification(Subject="Amazon SES Email Receipt Notification")), now=NOW)

    assert isinstance(read, Notification)
    assert read.subject == "Amazon SES Email Receipt Notification"
    assert verifier().read(signed(notification(Subject=None)), now=NOW)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("SubscriptionConfirmation", Subscription), ("UnsubscribeConfirmation", Unsubscription)],
)
def test_subscription_message_is_read(kind: str, expected: type) -> None:
    """The token goes to the API; the URL beside it is in no value that leaves the verifier."""
    read = verifier().read(signed(about_subscription(kind)), now=NOW)

    assert isinstance(read, expected)
    assert getattr(read, "token", "2336412f37") == "2336412f37"
    assert "169.254" not in repr(read)


def test_text_of_the_signature_is_amazons() -> None:
    """AWS's guide prints this very text for a message without subject; one line feed amiss and nothing verifies."""
    post = {"Type": "Notification", "MessageId": "id", "TopicArn": "arn", "Message": "m", "Timestamp": "t"}

    assert signed_text(post) == b"Message\nm\nMessageId\nid\nTimestamp\nt\nTopicArn\narn\nType\nNotification\n"


@pytest.mark.parametrize("name", ["Message", "MessageId", "Timestamp", "TopicArn", "Token", "SubscribeURL"])
def test_changed_field_is_refused(name: str) -> None:
    """Each of them decides something: what is done, whether it is new, for which topic."""
    post = json.loads(signed(about_subscription("SubscriptionConfirmation")))
    other = {"Timestamp": "2026-11-22T02:59:59.123Z", "TopicArn": TOPIC + "-other"}.get(name, post[name] + "x")
    body = json.dumps(post | {name: other}).encode()

    with pytest.raises(Unverified) as caught:
        Verifier(certificates_with(), topics=frozenset({TOPIC, TOPIC + "-other"})).read(body, now=NOW)

    assert caught.value.facts["step"] == "signature"


def test_subject_taken_away_or_added_is_refused() -> None:
    """It is signed where it is there, so it can be neither dropped nor put in."""
    with_one, without = json.loads(signed(notification(Subject="s"))), json.loads(signed(notification()))
    del with_one["Subject"]

    assert refused(json.dumps(with_one).encode()) == "signature"
    assert refused(json.dumps(without | {"Subject": "s"}).encode()) == "signature"


@pytest.mark.parametrize("signature", ["", "AAAA", "not base64!", None, 7])
def test_signature_that_is_none_is_refused(signature: object) -> None:
    """Absent, empty or of the wrong type: always the same error."""
    body = json.dumps(notification() | {"Signature": signature}).encode()

    assert refused(body) == "signature"


def test_signature_of_another_key_is_refused() -> None:
    """Anyone can make a key; only the certificate's counts."""
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    assert refused(signed(notification(), other)) == "signature"


def test_sha1_is_refused_unless_allowed() -> None:
    """Version 1 is the default of a topic until it is set to 2; SHA-1 signatures can be forged for enough money."""
    body = signed(notification(SignatureVersion="1"), algorithm=hashes.SHA1)

    assert refused(body) == "version"
    assert verifier(allow_sha1=True).read(body, now=NOW)
    assert refused(signed(notification(SignatureVersion="1")), allow_sha1=True) == "signature"
    assert refused(signed(notification(SignatureVersion="3")), allow_sha1=True) == "version"


def test_unknown_topic_is_refused_before_anything_is_fetched() -> None:
    """Any AWS account can have SNS sign any message; only our topics count."""
    certificates = certificates_with()

    assert refused(signed(notification(TopicArn=TOPIC.replace("1234", "6666"))), certificates) == "topic"
    assert certificates.asked == []


@pytest.mark.parametrize(
    "url",
    [
        URL.replace("https", "http"),
        URL.replace("eu-west-1", "us-east-1"),
        URL.replace("sns.eu-west-1.amazonaws.com", "sns.eu-west-1.amazonaws.com.evil.test"),
        URL.replace("sns.eu-west-1.amazonaws.com", "evil.test"),
        URL.replace("https://", "https://evil.test@"),
        URL.replace("https://", "https://user:pw@"),
        URL.replace(".com/", ".com:8443/"),
        URL.replace("sns.eu-west-1", "bucket.s3.eu-west-1"),
        URL + "?x=.pem",
        URL + "#x",
        URL.replace("SimpleNotificationService-", "../SimpleNotificationService-"),
        URL.replace(".pem", ".pem/../evil.pem"),
        URL.replace("SimpleNotificationService", "%53impleNotificationService"),
        URL.upper(),
        URL + "\n",
        "https://[::1",
        "http://169.254.169.254/latest/meta-data/x.pem",
        "",
        None,
        7,
    ],
)
def test_certificate_from_elsewhere_is_refused_without_asking(url: object) -> None:
    """The URL is written by an attacker: fetching it would be a request in our name (SSRF), trusting it a forgery."""
    certificates = certificates_with()

    assert refused(signed(notification(SigningCertURL=url)), certificates) == "certificate_url"
    assert certificates.asked == []


@pytest.mark.parametrize(
    ("arn", "host"),
    [
        ("arn:aws-cn:sns:cn-north-1:123456789012:t", "sns.cn-north-1.amazonaws.com.cn"),
        ("arn:aws-eusc:sns:eusc-de-east-1:123456789012:t", "sns.eusc-de-east-1.amazonaws.eu"),
        ("arn:aws-us-gov:sns:us-gov-west-1:123456789012:t", "sns.us-gov-west-1.amazonaws.com"),
    ],
)
def test_other_partitions_have_hosts_of_their_own(arn: str, host: str) -> None:
    """The sovereign cloud of the EU is one of them."""
    url = f"https://{host}/SimpleNotificationService-{'0a' * 16}.pem"
    checks = Verifier(certificates_with(), topics=frozenset({arn}))

    assert checks.read(signed(notification(TopicArn=arn, SigningCertURL=url)), now=NOW)
    with pytest.raises(Unverified):
        checks.read(signed(notification(TopicArn=arn)), now=NOW)


@pytest.mark.parametrize(
    "pem",
    [
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"<html>not found</html>",
        certificate(starts=NOW + timedelta(days=1)),
        certificate(starts=NOW - timedelta(days=60)),
        certificate(rsa.generate_private_key(public_exponent=65537, key_size=1024)),
        certificate(ec.generate_private_key(ec.SECP256R1())),
    ],
    ids=["damaged", "a page", "not yet", "expired", "weak", "another kind of key"],
)
def test_unusable_certificate_is_refused(pem: bytes) -> None:
    """What answers at the right place must still be a certificate, now, with a key that holds."""
    assert refused(signed(notification()), certificates_with(pem)) == "certificate"


def test_certificate_that_cannot_be_fetched_now_is_no_refusal() -> None:
    """The post may be genuine: answered with 503 it comes again, refused it would be lost."""
    certificates = certificates_with(TransientError("cannot be reached"))

    with pytest.raises(TransientError):
        verifier(certificates).read(signed(notification()), now=NOW)


@pytest.mark.parametrize(
    ("later", "fresh"),
    [
        (timedelta(minutes=64), True),
        (timedelta(minutes=66), False),
        (timedelta(days=365), False),
        (timedelta(minutes=-4), True),
        (timedelta(minutes=-6), False),
    ],
)
def test_old_and_future_posts_are_refused(later: timedelta, fresh: bool) -> None:
    """A recorded post is genuine for ever; SNS itself gives up after an hour, and clocks differ a little."""
    body = signed(notification())

    if fresh:
        assert verifier(certificates_with(certificate(days=800))).read(body, now=NOW + later)
    else:
        assert refused(body, certificates_with(certificate(days=800)), NOW + later) == "time"


@pytest.mark.parametrize("text", ["", "yesterday", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_time_that_is_none_is_refused(text: str) -> None:
    """Signed or not: without a readable time the replay window cannot be checked."""
    assert refused(signed(notification(Timestamp=text))) == "time"


@pytest.mark.parametrize(
    ("body", "step"),
    [
        (b"", "json"),
        (b"\xff\xfe", "json"),
        (b"[" * 100_000, "json"),
        (b"[]", "shape"),
        (b'"text"', "shape"),
        (b"{}", "type"),
        (b'{"Type": "Other"}', "type"),
        (b'{"Type": ["Notification"]}', "type"),
        (b'{"Type": "Notification"}', "shape"),
        (b'{"Type": "Notification", "Type": "Notification"}', "json"),
        (b"9" * 10_000, "json"),
        (b" " * (MOST_BODY_BYTES + 1), "size"),
    ],
)
def test_what_is_no_post_is_refused(body: bytes, step: str) -> None:
    """The route is open to the internet; no body may raise anything else or take long."""
    assert refused(body) == step


@pytest.mark.parametrize("name", ["Message", "MessageId", "Timestamp", "TopicArn"])
@pytest.mark.parametrize("value", [None, 7, ["x"], {}])
def test_field_of_another_kind_is_refused(name: str, value: object) -> None:
    """A number or an object would be signed as one text and read as another."""
    post = json.loads(signed(notification()))

    assert refused(json.dumps(post | {name: value}).encode()) == "shape"
    del post[name]
    assert refused(json.dumps(post).encode()) == "shape"


def test_subject_of_another_kind_is_refused() -> None:
    """It would be left out of the signed text, and be among what is read."""
    post = json.loads(signed(notification()))

    assert refused(json.dumps(post | {"Subject": {"a": 1}}).encode()) == "shape"


def test_lone_surrogate_is_refused() -> None:
    """JSON can write half a character, which no text that is signed can hold."""
    post = json.loads(signed(notification()))

    assert refused(json.dumps(post | {"Message": "\ud800"}).encode()) == "shape"


_texts = st.text(alphabet='aZ9 :/.{}"\n\x00é', max_size=20)
_values = st.none() | st.booleans() | st.integers() | _texts | st.lists(_texts, max_size=2)


@given(st.dictionaries(st.sampled_from([*notification(), "Subject", "Signature", "Token"]), _values, max_size=8))
def test_no_unsigned_post_is_ever_read(changes: dict[str, Any]) -> None:
    """Any change by an attacker leads to a refusal and nothing else."""
    body = json.dumps(notification() | changes).encode()

    assert refused(body) in {"shape", "type", "topic", "version", "certificate_url", "signature", "json"}


@pytest.mark.parametrize("change", [lambda body: body + b" ", lambda body: b"\n" + body], ids=["after", "before"])
def test_white_space_around_a_post_changes_nothing(change: Callable[[bytes], bytes]) -> None:
    """The signature is over values, not over the body."""
    assert verifier().read(change(signed(notification())), now=NOW)
