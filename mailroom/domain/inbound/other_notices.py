"""Messages of the inbound queue that announce no e-mail: which kind each is. They are acknowledged and counted.

What is of none of these kinds is unreadable, and ends in the dead-letter queue. A kind is recognised by the fields that its
service always writes, so that a message that merely resembles one is still seen by a person.

Sources: S3 user guide "Event message structure"; SES developer guide "Examples of event data"; SNS developer guide "HTTP/HTTPS
subscription confirmation JSON format"; EventBridge user guide "AWS service event metadata".
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class OtherNotice(StrEnum):
    """What a message without e-mails is. Stable words: the metric uses them."""

    #: S3's test, sent when notifications of a bucket are configured.
    S3_TEST = "s3_test"
    #: An event of a bucket that stores no mail: an object removed, tagged, restored, or a folder made.
    S3_EVENT = "s3_event"
    #: SES's test, sent when a receipt rule is made or changed.
    SES_SETUP = "ses_setup"
    #: An event of sent mail, which belongs on the tracking queue; or of an action of a receipt rule that stores no mail.
    SES_EVENT = "ses_event"
    #: SNS asks whether the queue's subscription is wanted, or says that it ended. Nothing is fetched or confirmed.
    SNS_SUBSCRIPTION = "sns_subscription"
    #: An event of EventBridge of another type.
    EVENTBRIDGE_EVENT = "eventbridge_event"


#: Why an object was created, in the words of EventBridge.
_CREATING = ("PutObject", "POST Object", "CopyObject", "CompleteMultipartUpload")
_SNS_TYPES = "SubscriptionConfirmation", "UnsubscribeConfirmation"
#: What SES writes to a topic when it becomes the topic of an identity's notifications.
_TOPIC_TEST = "AmazonSnsSubscriptionSucceeded"
_STORING_NOTHING = ("AddHeader", "Bounce", "Lambda", "Stop", "WorkMail")
_SES_TYPES = frozenset(
    {
        *("Bounce", "Click", "Complaint", "Delivery", "DeliveryDelay", "Open", "Reject", "Rendering Failure", "Send"),
        "Subscription",
    }
)


def other_notice(message: Mapping[str, Any]) -> OtherNotice | None:
    """Return which notice without e-mails a message is; None if it is none of them."""
    if is_of_another_action(message):
        return OtherNotice.SES_EVENT
    if message.get("Event") == "s3:TestEvent":
        return OtherNotice.S3_TEST
    if message.get("Type") in _SNS_TYPES and _has_texts(message, "TopicArn", "Token"):
        return OtherNotice.SNS_SUBSCRIPTION
    if is_from_event_bridge(message) or is_detail(message):
        return OtherNotice.EVENTBRIDGE_EVENT
    return OtherNotice.SES_EVENT if _is_ses_event(message) else None


def is_of_another_action(message: Mapping[str, Any]) -> bool:
    """Return whether SES says of a received mail that an action took it that stores nothing and passes nothing on.

    An action of type SNS passes on the mail itself: that is no notice, and must not be acknowledged.
    """
    receipt = message.get("receipt")
    action = receipt.get("action") if isinstance(receipt, dict) else None
    kind = action.get("type") if isinstance(action, dict) else None
    return kind in _STORING_NOTHING and message.get("notificationType") == "Received" and "content" not in message


def is_from_event_bridge(message: Mapping[str, Any]) -> bool:
    """Return whether a message has what every event of EventBridge has."""
    return _has_texts(message, "detail-type", "source") and isinstance(message.get("detail"), dict)


def is_detail(message: Mapping[str, Any]) -> bool:
    """Return whether a message is what a rule of EventBridge passes on as the part `detail` of an event of S3."""
    return isinstance(message.get("bucket"), dict) and isinstance(message.get("object"), dict)


def creates(detail: Mapping[str, Any]) -> bool:
    """Return whether a part `detail` is of a created object: only its type says so, which the part lacks.

    Events of created and deleted objects have a reason, events of other types only a requester. A template of a rule has
    neither.
    """
    return detail["reason"] in _CREATING if "reason" in detail else "requester" not in detail


def _is_ses_event(message: Mapping[str, Any]) -> bool:
    kind = message.get("eventType") or message.get("notificationType")
    if kind == _TOPIC_TEST:
        return _has_texts(message, "message")
    mail = message.get("mail")
    return isinstance(kind, str) and kind in _SES_TYPES and isinstance(mail, dict) and _has_texts(mail, "messageId")


def _has_texts(message: Mapping[str, Any], *names: str) -> bool:
    return all(isinstance(message.get(name), str) and message[name] for name in names)
