"""Messages that Amazon SNS posts over HTTPS, verified by their signature.

    body -> size, JSON -> topic allowed -> certificate of the topic's own region -> signature -> fresh -> message

Before verification only the fields needed for it are used, and no URL in a body but the checked one of the certificate is
called: a subscription is confirmed through the API with its token, never by fetching `SubscribeURL`. Each message keeps its
`message_id`: SNS delivers at least once, and a consumer must not handle a message twice.

Source: SNS developer guide, "Verifying the signatures of Amazon SNS messages" (2026).
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Never, Protocol
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from mailroom.domain.errors import PermanentError
from mailroom.domain.json_members import unique_members

MOST_BODY_BYTES = 1024 * 1024
"""A message has at most 256 KiB; as JSON inside JSON it may take about four times that."""

_OLDEST, _NEWEST = timedelta(minutes=65), timedelta(minutes=5)  # SNS tries for an hour at most, by its default policy
_ARN = re.compile(r"arn:(?P<partition>aws[a-z-]*):sns:(?P<region>[a-z0-9-]{3,32}):\d{12}:[A-Za-z0-9_.-]{1,256}")
_SUFFIXES = {"aws-cn": "amazonaws.com.cn", "aws-eusc": "amazonaws.eu"}
_PATH = re.compile(r"/SimpleNotificationService-[0-9a-f]{32}\.pem")
_HASHES: dict[str, type[hashes.SHA1] | type[hashes.SHA256]] = {"1": hashes.SHA1, "2": hashes.SHA256}
_SET_2 = "signed with SHA-1: set SignatureVersion 2 on the topic, or MAILROOM_SNS_OLD_SIGNATURES here"
_ABOUT_SUBSCRIPTIONS = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": _ABOUT_SUBSCRIPTIONS,
    "UnsubscribeConfirmation": _ABOUT_SUBSCRIPTIONS,
}


class Unverified(PermanentError):
    """A body is not proven to be a message of one of our topics; the fact `step` names the check that failed."""

    def __init__(self, message: str = "not a verified SNS message", **facts: Any) -> None:
        super().__init__(message, **facts)


class Certificates(Protocol):
    """A source of SNS's signing certificates."""

    def fetch(self, url: str) -> bytes:
        """Return the PEM at `url`, which the verifier has checked to be SNS's own; redirects are not followed.

        Raises:
            TransientError: it cannot be fetched now; answer the post with 503, and SNS posts it again.
            Unverified: there is no certificate at this URL.
        """


@dataclass(frozen=True, slots=True)
class Notification:
    """A message published to a topic."""

    topic_arn: str
    message_id: str
    message: str
    published_at: datetime
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic's request to post here; `token` confirms it through the API."""

    topic_arn: str
    message_id: str
    token: str


@dataclass(frozen=True, slots=True)
class Unsubscription:
    """A topic's notice that it no longer posts here."""

    topic_arn: str
    message_id: str


Message = Notification | Subscription | Unsubscription


class Verifier:
    """Verifies and reads the posts of configured topics."""

    def __init__(self, certificates: Certificates, *, topics: frozenset[str], allow_sha1: bool = False) -> None:
        """Take the topics' ARNs; a post of any other topic is refused before its certificate is fetched.

        Args:
            certificates: The source of signing certificates.
            topics: Full ARNs.
            allow_sha1: Also accept SignatureVersion 1, the default of topics that are not set to 2.
        """
        self._certificates = certificates
        self._topics = topics
        self._versions = frozenset({"1", "2"} if allow_sha1 else {"2"})

    def read(self, body: bytes, *, now: datetime) -> Message:
        """Return the message of a post.

        Raises:
            Unverified: `step` is size, json, shape, type, topic, version, certificate_url, certificate, signature or time.
            TransientError: the certificate cannot be fetched now.
        """
        if len(body) > MOST_BODY_BYTES:
            _refuse("size", size=len(body))
        post = _parse(body)
        if post["TopicArn"] not in self._topics:
            _refuse("topic")
        if post.get("SignatureVersion") not in self._versions:
            if post.get("SignatureVersion") == "1":
                raise Unverified(_SET_2, step="version")
            _refuse("version")
        key = _key(self._certificates.fetch(certificate_url(post)), now)
        _check_signature(post, key)
        # After the signature: only a time that SNS itself signed is compared with the clock.
        return _message(post, _check_time(post["Timestamp"], now))


def certificate_url(post: Mapping[str, str]) -> str:
    """Return the post's certificate URL after checking that it is SNS's own in the region of the post's topic.

    Raises:
        Unverified: any part of the URL differs.
    """
    url = post.get("SigningCertURL", "")
    arn = _ARN.fullmatch(post["TopicArn"])
    try:
        parts = urlsplit(url)
        path = parts.path
    except ValueError:
        _refuse("certificate_url")
    if arn is None or not _PATH.fullmatch(path):
        _refuse("certificate_url")
    host = f"sns.{arn['region']}.{_SUFFIXES.get(arn['partition'], 'amazonaws.com')}"
    # Compared as a whole: no port, user, query or fragment, and no other spelling.
    return url if url == f"https://{host}{path}" else _refuse("certificate_url")


def signed_text(post: Mapping[str, str]) -> bytes:
    """Return the bytes that SNS signs: the fields of the message's type, in order, each name and value on a line."""
    return "".join(f"{name}\n{post[name]}\n" for name in _SIGNED[post["Type"]] if name in post).encode()


def _parse(body: bytes) -> dict[str, str]:
    """Return the post's text members; numbers and objects, which SNS may add one day, are not signed."""
    try:
        post = json.loads(body.decode("utf-8"), object_pairs_hook=unique_members)
    except (ValueError, RecursionError):
        _refuse("json")
    if not isinstance(post, dict):
        _refuse("shape")
    texts = {name: value for name, value in post.items() if isinstance(value, str)}
    if texts.get("Type") not in _SIGNED:
        _refuse("type")
    missing = [name for name in _SIGNED[texts["Type"]] if name != "Subject" and name not in texts]
    if missing or (post.get("Subject") is not None and "Subject" not in texts):
        _refuse("shape")
    try:
        signed_text(texts)
    except UnicodeEncodeError:
        _refuse("shape")
    return texts


def _key(pem: bytes, now: datetime) -> rsa.RSAPublicKey:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
    except ValueError:
        _refuse("certificate")
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 2048:
        _refuse("certificate")
    return key if certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc else _refuse("certificate")


def _check_signature(post: Mapping[str, str], key: rsa.RSAPublicKey) -> None:
    try:
        signature = base64.b64decode(post.get("Signature", ""), validate=True)
        key.verify(signature, signed_text(post), padding.PKCS1v15(), _HASHES[post["SignatureVersion"]]())
    except (binascii.Error, ValueError, InvalidSignature):
        _refuse("signature")


def _check_time(text: str, now: datetime) -> datetime:
    try:
        published_at = datetime.fromisoformat(text)
        age = now - (published_at if published_at.tzinfo else published_at.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        _refuse("time")
    return now - age if -_NEWEST <= age <= _OLDEST else _refuse("time")


def _message(post: Mapping[str, str], published_at: datetime) -> Message:
    topic_arn, message_id = post["TopicArn"], post["MessageId"]
    if post["Type"] == "Notification":
        return Notification(topic_arn, message_id, post["Message"], published_at, post.get("Subject"))
    if post["Type"] == "SubscriptionConfirmation":
        return Subscription(topic_arn, message_id, post["Token"])
    return Unsubscription(topic_arn, message_id)


def _refuse(step: str, **facts: Any) -> Never:
    raise Unverified(step=step, **facts) from None
