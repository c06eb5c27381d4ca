"""Messages of the inbound queue: the raw e-mails that they announce and, from SES, their recipients.

Accepted are S3 event notifications, S3's "Object Created" events by EventBridge (whole, or only the part `detail`, or `bucket`
and `key` by an input transformer), and SES "Received" notifications (in the form of S3 or Lambda actions), bare or in an SNS
envelope, and notices without e-mails (`other_notices`). A body is refused or accepted as a whole. Recipients come from
`receipt.recipients` alone: To and Cc are the sender's text and lack Bcc.

Sources: S3 user guide "Event message structure" and "EventBridge event message structure"; SES developer guide "Contents of
notifications for email receiving".
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Never
from urllib.parse import quote_plus, unquote_plus

from mailroom.domain.errors import PermanentError
from mailroom.domain.inbound.other_notices import (
    OtherNotice,
    creates,
    is_detail,
    is_from_event_bridge,
    is_of_another_action,
    other_notice,
)
from mailroom.domain.inbound.received_email import Arrival, Envelope, ObjectRef
from mailroom.domain.inbound.routing import normalise
from mailroom.domain.inbound.verdicts import Verdict, Verdicts
from mailroom.domain.json_members import unique_members
from mailroom.domain.times import happened

MOST_BODY_BYTES = 1024 * 1024
MOST_RECIPIENTS = 1000
SETUP_NOTIFICATION = "AMAZON_SES_SETUP_NOTIFICATION"
"""SES writes an object of this name, and may send a notification of it, each time a receipt rule is made or changed."""

_SIGNATURE = "x-ses-dkim-signature"
_MOST_HEADER_BYTES = 64 * 1024
_MOST_VALUE_LETTERS = 4 * 1024
_POLICIES = frozenset({"none", "quarantine", "reject"})
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_BY_SES = re.compile(r"\bby inbound-smtp\.[a-z0-9-]+\.amazonaws\.com with E?SMTPS? id (?P<id>[A-Za-z0-9-]+)")
_AUTHENTICATED = re.compile(r"amazonses\.com;(?P<checks>.*)", re.DOTALL)
# A method follows a semicolon, so that no word of a comment is taken for one.
_CHECK = re.compile(r"(?:^|;)\s*(spf|dkim|dmarc)=([a-z]+)")
_RECEIVED_BY_SES = re.compile(
    _BY_SES.pattern + r' for <?(?P<recipient>(?:"(?:[^"\\]|\\.)*"|[^@\s<>;"]+)@[^@\s<>;"]+)>? ?;'
)


class UnreadableNotification(PermanentError):
    """A message of the inbound queue has none of the accepted forms."""

    def __init__(self, message: str = "unreadable notification", **facts: Any) -> None:
        super().__init__(message, **facts)


@dataclass(frozen=True, slots=True)
class Notices:
    """What one queue message has: the e-mails that it announces, and its notices of other kinds."""

    arrivals: tuple[Arrival, ...] = ()
    others: tuple[OtherNotice, ...] = ()


def read_notification(body: str) -> list[Arrival]:
    """Return the e-mails that a queue message announces; see `read_notices`."""
    return list(read_notices(body).arrivals)


def read_notices(body: str) -> Notices:
    """Return the e-mails that a queue message announces, and its notices of other kinds.

    An impossible time of receipt (out of bounds, or over a day ahead) counts as now.

    Raises:
        UnreadableNotification: it has none of the forms above, or exceeds 1 MiB or 1000 recipients; the check that failed
            is in the facts.
    """
    message = _parse(body)
    if message.get("Type") == "Notification" and "Message" in message:
        message = _parse(_text(message["Message"]))
    if message.get("notificationType") == "Received" and not is_of_another_action(message):
        return _notices([_from_ses(message)])
    if (created := _created(message)) is not None:
        return _notices([_from_event_bridge(created)])
    if other := other_notice(message):
        return Notices(others=(other,))
    records = message.get("Records")
    if not isinstance(records, list) or not records:
        _refuse("shape")
    return _notices([_from_record(_object(record)) for record in records])


def can_be_announced(key: str) -> bool:
    """Return whether a notification of an object with this key can be read; SES's keys always can, other writers' may not."""
    return not _UNPRINTABLE.search(key)


def announcement(ref: ObjectRef) -> str:
    """Return an S3 event notification of an object, for one whose own notification was lost."""
    stored = {"key": quote_plus(ref.key)} | ({"versionId": ref.version} if ref.version else {})
    record = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}
    return json.dumps({"Records": [record | {"s3": {"bucket": {"name": ref.bucket}, "object": stored}}]})


def received_recipients(raw: bytes, *, message_id: str) -> tuple[str, ...]:
    """Return the recipient in SES's own Received header, for a mail whose notification never came; () if it has none.

    Only the first Received header counts, and only above the first X-SES-DKIM-SIGNATURE: SES puts both before
    everything the sender wrote. It must name SES as receiver and `message_id`, which no sender can predict.
    """
    headers = _first_headers(raw)
    names = [name for name, _ in headers]
    if _SIGNATURE in names:
        for name, value in headers[: names.index(_SIGNATURE)]:
            if name == "received":
                return _recipient_of(value, message_id)
    return ()


def received_verdicts(raw: bytes, *, message_id: str) -> Verdicts:
    """Return the verdicts in SES's own headers, for a mail whose notification never came; absent ones are missing.

    As for recipients: the first of each header, above the first X-SES-DKIM-SIGNATURE, in a block that names `message_id`.
    """
    headers = _first_headers(raw)
    names = [name for name, _ in headers]
    if _SIGNATURE not in names:
        return Verdicts()
    block: dict[str, str] = {}
    for name, value in headers[: names.index(_SIGNATURE)]:
        block.setdefault(name, value)
    if not _is_of_ses(block.get("received", ""), message_id):
        return Verdicts()
    checks = _AUTHENTICATED.match(block.get("authentication-results", "")[:_MOST_VALUE_LETTERS])
    results = _CHECK.findall(checks["checks"]) if checks else []
    # SES quotes HELO and MAIL FROM, which a sender may make look like a check: a method that appears twice is ignored.
    methods = [method for method, _ in results]
    values = {method: word for method, word in results if methods.count(method) == 1}
    return Verdicts(
        spam=_verdict({"status": block.get("x-ses-spam-verdict")}),
        virus=_verdict({"status": block.get("x-ses-virus-verdict")}),
        spf=_word(values.get("spf")),
        dkim=_word(values.get("dkim")),
        dmarc=_word(values.get("dmarc")),
    )


def _is_of_ses(received: str, message_id: str) -> bool:
    folded = " ".join(received[:_MOST_VALUE_LETTERS].split())
    return any(match["id"] == message_id for match in _BY_SES.finditer(folded))


def _word(word: str | None) -> Verdict:
    """Return the verdict of an Authentication-Results word (RFC 8601): none, neutral and errors neither pass nor fail."""
    return {None: Verdict.MISSING, "pass": Verdict.PASS, "fail": Verdict.FAIL}.get(word, Verdict.GRAY)


def _first_headers(raw: bytes) -> list[tuple[str, str]]:
    text = raw[:_MOST_HEADER_BYTES].decode("utf-8", "replace").replace("\r\n", "\n")
    block = "" if text.startswith("\n") else text.partition("\n\n")[0]
    lines = re.sub(r"\n[ \t]+", " ", block).split("\n")
    split = (line.partition(":") for line in lines)
    return [(name.strip().lower(), value.strip()) for name, _, value in split]


def _recipient_of(received: str, message_id: str) -> tuple[str, ...]:
    for match in _RECEIVED_BY_SES.finditer(" ".join(received[:_MOST_VALUE_LETTERS].split())):
        if match["id"] == message_id:
            try:
                normalise(match["recipient"])
            except ValueError:
                return ()
            return (match["recipient"],)
    return ()


def _notices(read: list[Arrival | OtherNotice]) -> Notices:
    arrivals = tuple(one for one in read if isinstance(one, Arrival))
    return Notices(arrivals, tuple(one for one in read if isinstance(one, OtherNotice)))


def _created(message: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what EventBridge says of a created object, in the form of its part `detail`; None if it says nothing of one."""
    if is_from_event_bridge(message):
        is_created = message["source"] == "aws.s3" and message["detail-type"] == "Object Created"
        return _object(message["detail"]) if is_created else None
    if is_detail(message):
        return message if creates(message) else None
    if isinstance(message.get("bucket"), str) and isinstance(message.get("key"), str):
        described = {"key": message["key"], "version-id": message.get("version-id", message.get("versionId"))}
        return {"bucket": {"name": message["bucket"]}, "object": described}
    return None


def _from_event_bridge(detail: Mapping[str, Any]) -> Arrival | OtherNotice:
    # Other than in S3's own notifications, the key is not encoded.
    described = _object(detail.get("object"))
    bucket, key = _object(detail.get("bucket")).get("name"), described.get("key")
    return _arrival(bucket, key, described.get("version-id"))


def _arrival(bucket: object, key: object, version: object) -> Arrival | OtherNotice:
    ref = ObjectRef(
        bucket=_name(bucket), key=_name(key), version="" if version in (None, "", "null") else _name(version)
    )
    if ref.message_id == SETUP_NOTIFICATION:
        return OtherNotice.SES_SETUP
    # A key that ends with a slash is a folder made in the S3 console.
    return Arrival(ref) if ref.message_id else OtherNotice.S3_EVENT


def _from_record(record: Mapping[str, Any]) -> Arrival | OtherNotice:
    source = record.get("eventSource")
    if source == "aws:ses":
        return _from_ses(_object(record.get("ses")))
    if source != "aws:s3":
        _refuse("source")
    if not _text(record.get("eventName")).removeprefix("s3:").startswith("ObjectCreated:"):
        return OtherNotice.S3_EVENT
    s3 = _object(record.get("s3"))
    described = _object(s3.get("object"))
    key = unquote_plus(_text(described.get("key")))
    return _arrival(_object(s3.get("bucket")).get("name"), key, described.get("versionId"))


def _from_ses(message: Mapping[str, Any]) -> Arrival | OtherNotice:
    mail, receipt = _object(message.get("mail")), _object(message.get("receipt"))
    message_id = _name(mail.get("messageId"))
    if message_id == SETUP_NOTIFICATION:
        return OtherNotice.SES_SETUP
    action = _object(receipt.get("action"))
    ref = ObjectRef(bucket=_name(action.get("bucketName")), key=_name(action.get("objectKey")))
    if not ref.key.endswith(message_id):
        _refuse("object_key")
    return Arrival(ref, _envelope(mail, receipt))


def _envelope(mail: Mapping[str, Any], receipt: Mapping[str, Any]) -> Envelope:
    recipients = receipt.get("recipients")
    if not isinstance(recipients, list):
        _refuse("recipients")
    if len(recipients) > MOST_RECIPIENTS:
        _refuse("too_many_recipients", count=len(recipients))
    return Envelope(
        recipients=tuple(dict.fromkeys(_printable(_text(recipient)) for recipient in recipients)),
        sender=_printable(_text(mail.get("source") or "")).removeprefix("<").removesuffix(">"),
        received_at=_time(receipt.get("timestamp")),
        verdicts=Verdicts(
            spam=_verdict(receipt.get("spamVerdict")),
            virus=_verdict(receipt.get("virusVerdict")),
            spf=_verdict(receipt.get("spfVerdict")),
            dkim=_verdict(receipt.get("dkimVerdict")),
            dmarc=(dmarc := _verdict(receipt.get("dmarcVerdict"))),
            dmarc_policy=_policy(receipt.get("dmarcPolicy")) if dmarc is Verdict.FAIL else None,
        ),
    )


def _verdict(verdict: object) -> Verdict:
    word = verdict.get("status") if isinstance(verdict, dict) else None
    return Verdict(word) if isinstance(word, str) and word in Verdict.__members__ else Verdict.MISSING


def _policy(word: object) -> str | None:
    return word.lower() if isinstance(word, str) and word.lower() in _POLICIES else None


def _time(text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(_text(text))
        utc = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        _refuse("timestamp")
    return happened(utc, received_at=datetime.now(UTC))


def _parse(text: str) -> dict[str, Any]:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MOST_BODY_BYTES:
        _refuse("size", size=size)
    try:
        return _object(json.loads(text, object_pairs_hook=unique_members))
    except (ValueError, RecursionError):
        _refuse("json")


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else _refuse("shape")


def _text(value: object) -> str:
    return value if isinstance(value, str) else _refuse("shape")


def _name(value: object) -> str:
    name = _text(value)
    return name if name and not _UNPRINTABLE.search(name) else _refuse("name")


def _printable(address: str) -> str:
    # Such an address has no route, but the other recipients must keep theirs: the database cannot store NUL.
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", address)


def _refuse(step: str, **facts: Any) -> Never:
    raise UnreadableNotification(step=step, **facts) from None
