"""What SES tells of sent mail, in both of its families: identity notifications and event publishing.

Both may be on, and each thing is then told twice. Their inner objects are the same, so the id that is made here is too:
SES gives none but the feedback id of bounces and complaints. A body comes as it is or in an SNS envelope.

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
from mailroom.domain.delivery.events import DeliveryEvent, Kind
from mailroom.domain.times import happened

PROVIDER = "ses"

#: The inner object of each type, and the list of those in it whom it is about.
_PARTS = {
    "Send": ("send", ""),
    "Delivery": ("delivery", "recipients"),
    "DeliveryDelay": ("deliveryDelay", "delayedRecipients"),
    "Bounce": ("bounce", "bouncedRecipients"),
    # Whom a complaint is about is often redacted, and then is everybody at that domain.
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
    """Return SES's own text from a message of the tracking queue: an SNS envelope around it, or nothing."""
    outer = table(load(body))
    inner = outer.get("Message")
    return inner if outer.get("Type") == "Notification" and isinstance(inner, str) else body


def read(text: str | bytes, *, received_at: datetime) -> list[DeliveryEvent]:
    """Return what SES tells, one event for each recipient that it names; nothing where it is not about a sent mail.

    Raises:
        Unreadable: it is not JSON, names no mail, or more recipients than SES allows.
    """
    values = table(load(text))
    word = values.get("eventType") or values.get("notificationType")
    if not isinstance(word, str) or word not in _PARTS:
        return []
    mail = table(values.get("mail"))
    message_id = identifier(mail.get("messageId"))
    if message_id is None:
        raise Unreadable("SES tells of no mail", word=word)
    name, concerned = _PARTS[word]
    part = table(values.get(name))
    about = listed(part.get(concerned)) or [None]
    if len(about) > MOST_EVENTS:
        raise Unreadable("SES names too many recipients", recipients=len(about))
    return [_event(word, part, mail, message_id, one, received_at) for one in about]


def _event(
    word: str, part: Mapping[str, Any], mail: Mapping[str, Any], message_id: str, about: object, received_at: datetime
) -> DeliveryEvent:
    recipient = mailbox(about.get("emailAddress") if isinstance(about, dict) else about)
    told_at, sent_at = moment(part.get("timestamp")), moment(mail.get("timestamp"))
    # Rejects, sends and failures have no time of their own: there is one of each for a mail.
    mark = part.get("feedbackId") or part.get("timestamp") or ""
    kind = _kind(word, part)
    after = told_at - sent_at if told_at and sent_at else None
    return DeliveryEvent(
        provider=PROVIDER,
        event_id=digest(word, message_id, mark, (recipient or "").lower(), part.get("link", "")),
        kind=kind,
        at=happened(told_at or sent_at, received_at=received_at),
        provider_message_id=message_id,
        message_id=_our_id(mail),
        recipient=recipient,
        actor=reader_of(kind, part.get("userAgent"), after=after),
        facts=_facts(part, table(about)),
    )


def _kind(word: str, part: Mapping[str, Any]) -> Kind:
    if word == "Bounce":
        # Of an address on the account's list SES tells a bounce, though nothing was sent.
        if "Suppress" in str(part.get("bounceSubType")):
            return Kind.SUPPRESSED
        return Kind.BOUNCED_HARD if part.get("bounceType") == "Permanent" else Kind.BOUNCED_SOFT
    if word == "Complaint":
        if "Suppress" in str(part.get("complaintSubType")):
            return Kind.SUPPRESSED
        return Kind.OTHER if part.get("complaintFeedbackType") == "not-spam" else Kind.COMPLAINED
    if word == "Subscription":
        wanted = table(part.get("newTopicPreferences"))
        return Kind.UNSUBSCRIBED if wanted.get("unsubscribeAll") is True else Kind.OTHER
    return _KINDS[word]


def _our_id(mail: Mapping[str, Any]) -> str | None:
    """Return our id from the tag or, where tags do not come back, from the header (cut off above 10 KB of headers)."""
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
