"""SES's events about sent mail, in both forms: identity notifications and event publishing.

With both forms on, each event arrives twice. Their inner objects are equal, so the event id made from them is too; SES
itself gives only the feedback id of bounces and complaints. A body comes bare or in an SNS envelope.

Source: SES developer guide, "Contents of event data that Amazon SES publishes to Amazon SNS" (2026).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mailroom.delivery.provider_events.fields import (
    CORRELATION_HEADER,
    MOST_EVENTS,
    OUR_ID,
    Unreadable,
    codes,
    digest,
    first,
    identifier,
    listed,
    load,
    mailbox,
    moment,
    reader_of,
    table,
    words,
)
from mailroom.delivery.provider_events.ses_topics import left_facts
from mailroom.domain.delivery.events import DeliveryEvent, Kind
from mailroom.domain.times import happened

PROVIDER = "ses"

#: The inner object of each event type, and the name of its list of recipients.
_PARTS = {
    "Send": ("send", ""),
    "Delivery": ("delivery", "recipients"),
    "DeliveryDelay": ("deliveryDelay", "delayedRecipients"),
    "Bounce": ("bounce", "bouncedRecipients"),
    # The recipients of a complaint are often redacted, and then are everybody at that domain.
    "Complaint": ("complaint", ""),
    "Reject": ("reject", ""),
    "Rendering Failure": ("failure", ""),
    "Open": ("open", ""),
    "Click": ("click", ""),
    "Subscription": ("subscription", ""),
}
_KINDS = {
    "Send": Kind.SENT,
    "Delivery": Kind.DELIVERED,
    "DeliveryDelay": Kind.DELAYED,
    "Reject": Kind.REJECTED,
    "Rendering Failure": Kind.REJECTED,
    "Open": Kind.OPENED,
    "Click": Kind.CLICKED,
}


def unwrapped(body: str) -> str:
    """Return SES's own text from a message of the tracking queue, without an SNS envelope if it has one."""
    outer = table(load(body))
    inner = outer.get("Message")
    return inner if outer.get("Type") == "Notification" and isinstance(inner, str) else body


def read(text: str | bytes, *, received_at: datetime) -> list[DeliveryEvent]:
    """Return the events of a body, one for each recipient that it names; none if it is not about sent mail.

    Raises:
        Unreadable: it is not JSON, names no mail, or names more recipients than SES allows.
    """
    values = table(load(text))
    word = values.get("eventType") or values.get("notificationType")
    if not isinstance(word, str) or word not in _PARTS:
        return []
    mail = table(values.get("mail"))
    message_id = identifier(mail.get("messageId"))
    if message_id is None:
        raise Unreadable("SES's event has no mail", word=word)
    name, concerned = _PARTS[word]
    part = table(values.get(name))
    about = listed(part.get(concerned)) or [None]
    if len(about) > MOST_EVENTS:
        raise Unreadable("SES's event has too many recipients", recipients=len(about))
    return [_event(word, part, mail, message_id, one, received_at) for one in about]


def _event(
    word: str, part: Mapping[str, Any], mail: Mapping[str, Any], message_id: str, about: object, received_at: datetime
) -> DeliveryEvent:
    recipient = mailbox(about.get("emailAddress") if isinstance(about, dict) else about)
    reported_at, sent_at = moment(part.get("timestamp")), moment(mail.get("timestamp"))
    # Rejects, sends and failures have no timestamp: a mail has one of each at most.
    mark = part.get("feedbackId") or part.get("timestamp") or ""
    kind = _kind(word, part)
    after = reported_at - sent_at if reported_at and sent_at else None
    return DeliveryEvent(
        provider=PROVIDER,
        event_id=digest(word, message_id, mark, (recipient or "").lower(), part.get("link", "")),
        kind=kind,
        at=happened(reported_at or sent_at, received_at=received_at),
        provider_message_id=message_id,
        message_id=_our_id(mail),
        recipient=recipient,
        actor=reader_of(kind, part.get("userAgent"), after=after),
        facts=_facts(part, table(about)) | (left_facts(part) if kind is Kind.UNSUBSCRIBED else {}),
    )


def _kind(word: str, part: Mapping[str, Any]) -> Kind:
    if word == "Bounce":
        # SES reports a bounce for an address on the account's suppression list, though nothing was sent.
        if "Suppress" in str(part.get("bounceSubType")):
            return Kind.SUPPRESSED
        return Kind.BOUNCED_HARD if part.get("bounceType") == "Permanent" else Kind.BOUNCED_SOFT
    if word == "Complaint":
        if "Suppress" in str(part.get("complaintSubType")):
            return Kind.SUPPRESSED
        return Kind.OTHER if part.get("complaintFeedbackType") == "not-spam" else Kind.COMPLAINED
    if word == "Subscription":
        return Kind.UNSUBSCRIBED if left_facts(part) else Kind.OTHER
    return _KINDS[word]


def _our_id(mail: Mapping[str, Any]) -> str | None:
    """Return our id from the tag, or else from the header (headers are cut off above 10 KB)."""
    tagged = first(listed(table(mail.get("tags")).get(OUR_ID)))
    headers = (table(header) for header in listed(mail.get("headers")))
    sent = (header.get("value") for header in headers if str(header.get("name")).lower() == CORRELATION_HEADER)
    return identifier(tagged) or identifier(first(sent))


def _facts(part: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, str]:
    answered = codes(about.get("diagnosticCode") or part.get("smtpResponse"))
    return answered | words(
        bounce_type=part.get("bounceType"),
        bounce_subtype=part.get("bounceSubType"),
        complaint_type=part.get("complaintFeedbackType"),
        complaint_subtype=part.get("complaintSubType"),
        delay_type=part.get("delayType"),
        reason=part.get("reason"),
        status=about.get("status"),
        action=about.get("action"),
        feedback_id=part.get("feedbackId"),
    )
