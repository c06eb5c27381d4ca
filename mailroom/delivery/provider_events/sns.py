"""What Amazon SNS posts over HTTPS, believed only once its signature is checked.

    body -> size, JSON -> topic allowed -> certificate of the topic's own region -> signature -> fresh -> message

Nothing of a body is used before that but what is needed to check it, and no address that stands in it is ever called:
a subscription is confirmed through the API with the token, never by fetching `SubscribeURL`. Each message keeps its
`message_id`: SNS delivers at least once, and who handles messages must not handle one twice.

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
"""A message has at most 256 KiB; as JSON inside JSON it may be some four times that."""

_OLDEST, _NEWEST = timedelta(minutes=65), timedelta(minutes=5)  # SNS tries for an hour at most, by its default policy
_ARN = re.compile(r"arn:(?P<partition>aws[a-z-]*):sns:(?P<region>[a-z0-9-]{3,32}):\d{12}:[A-Za-z0-9_.-]{1,256}")
_SUFFIXES = {"aws-cn": "amazonaws.com.cn", "aws-eusc": "amazonaws.eu"}
_PATH = re.compile(r"/SimpleNotificationService-[0-9a-f]{32}\.pem")
_HASHES: dict[str, type[hashes.SHA1] | type[hashes.SHA256]] = {"1": hashes.SHA1, "2": hashes.SHA256}
_ABOUT_SUBSCRIPTIONS = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": _ABOUT_SUBSCRIPTIONS,
    "UnsubscribeConfirmation": _ABOUT_SUBSCRIPTIONS,
}


class Unverified(PermanentError):
    """This body is not proven to be a message of one of our topics; the step that refused is in the facts."""

    def __init__(self, message: str = "not a verified SNS message", **facts: Any) -> None:
        super().__init__(message, **facts)


class Certificates(Protocol):
    """Where SNS's signing certificates are had."""

    def fetch(self, url: str) -> bytes:
        """Return the PEM at `url`, which the verifier has checked to be SNS's own; following no redirect.

        Raises:
            TransientError: it cannot be had now; the post may be answered with 503 and comes again.
            Unverified: there is none at this place.
        """


@dataclass(frozen=True, slots=True)
class Notification:
    """What was published to a topic."""

    topic_arn: str
    message_id: str
    message: str
    published_at: datetime
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic's question whether it may post here; `token` answers it through the API."""

    topic_arn: str
    message_id: str
    token: str


@dataclass(frozen=True, slots=True)
class Unsubscription:
    """A topic's word that it posts here no longer."""

    topic_arn: str
    message_id: str


Message = Notification | Subscription | Unsubscription


class Verifier:
    """Reads posts of the topics that it knows."""

    def __init__(self, certificates: Certificates, *, topics: frozenset[str], allow_sha1: bool = False) -> None:
        """Take the topics' ARNs; a post of any other is refused before its certificate is asked for.

        Args:
            certificates: Where signing certificates are had.
            topics: Whole ARNs.
            allow_sha1: Also take SignatureVersion 1, the default of a topic that nobody set to 2.
        """
        self._certificates = certificates
        self._topics = topics
        self._versions = frozenset({"1", "2"} if allow_sha1 else {"2"})

    def read(self, body: bytes, *, now: datetime) -> Message:
        """Return the message of a post.

        Raises:
            Unverified: by `step`: size, json, shape, type, topic, version, certificate_url, certificate, signature, time.
            TransientError: the certificate cannot be had now.
        """
        if len(body) > MOST_BODY_BYTES:
            _refuse("size", size=len(body))
        post = _parse(body)
        if post["TopicArn"] not in self._topics:
            _refuse("topic")
        if post.get("SignatureVersion") not in self._versions:
            _refuse("version")
        key = _key(self._certificates.fetch(certificate_url(post)), now)
        _check_signature(post, key)
        # After the signature, so that the clock is only held against what SNS said itself.
        return _message(post, _check_time(post["Timestamp"], now))


def certificate_url(post: Mapping[str, str]) -> str:
    """Return the post's certificate URL, once it is known to be SNS's in the region of the post's topic.

    Raises:
        Unverified: it is not, whatever part of it differs.
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
    # Compared as a whole: no port, user, query or fragment, and no other way of writing the same.
    return url if url == f"https://{host}{path}" else _refuse("certificate_url")


def signed_text(post: Mapping[str, str]) -> bytes:
    """Return the bytes that SNS signs: the fields of the message's type, in order, each name and value on a line."""
    return "".join(f"{name}\n{post[name]}\n" for name in _SIGNED[post["Type"]] if name in post).encode()


def _parse(body: bytes) -> dict[str, str]:
    """Return the post's members that are text; the numbers and objects that SNS may add one day are not signed."""
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
