"""What SES's events mean: their kind in our vocabulary, and whose fault a bounce, refusal or delay is.

SES reports an automatic reply (out of office) as a bounce, Transient/General, without the fields of a delivery status
notification. A status of the recipient outranks the type: see `bounce_status`.

Source: SES developer guide, "Contents of event data that Amazon SES publishes to Amazon SNS", "Bounce object" (2026).
"""

from collections.abc import Mapping
from typing import Any

from mailroom.delivery.provider_events.fields import listed, table
from mailroom.domain.delivery.bounce_status import FAULT, BounceFault, meaning_of_bounce
from mailroom.domain.delivery.events import Kind

#: Kinds of the types that mean one thing.
_KINDS = {
    "Send": Kind.SENT,
    "Delivery": Kind.DELIVERED,
    "Open": Kind.OPENED,
    "Click": Kind.CLICKED,
}
#: Types by which SES refuses the content: a virus, a template that cannot be filled.
_REFUSALS = frozenset({"Reject", "Rendering Failure"})
#: Subtypes of transient bounces; any other but General is unknown.
_TRANSIENT = {
    "mailboxfull": BounceFault.RECIPIENT,
    "messagetoolarge": BounceFault.CONTENT,
    "contentrejected": BounceFault.CONTENT,
    "attachmentrejected": BounceFault.CONTENT,
}
#: Subtypes of permanent bounces for which the type stands.
_NO_EMAIL, _GENERAL = "noemail", "general"
_DELAYS = {
    "mailboxfull": BounceFault.RECIPIENT,
    "recipientservererror": BounceFault.RECIPIENT,
    "general": BounceFault.RECIPIENT,
    "transientcommunicationfailure": BounceFault.RECIPIENT,
    "undetermined": BounceFault.UNKNOWN,
    "spamdetected": BounceFault.ACCOUNT,
    "ipfailure": BounceFault.ACCOUNT,
    "sendingdeferral": BounceFault.ACCOUNT,
    "internalfailure": BounceFault.ACCOUNT,
    "byoiphostnamelookupunavailable": BounceFault.ACCOUNT,
}
#: Actions of a delivery status notification that are no failure.
_NO_FAILURE = {"delayed": Kind.DELAYED, "delivered": Kind.OTHER, "relayed": Kind.OTHER, "expanded": Kind.OTHER}
#: Fields that a bounce's recipient has only if a delivery status notification was attached.
_OF_A_NOTIFICATION = ("action", "status", "diagnosticCode")


def meaning_of(word: str, part: Mapping[str, Any], about: Mapping[str, Any]) -> tuple[Kind, dict[str, str]]:
    """Return the kind of an event, and the facts that say whose fault it is.

    Args:
        word: The type of the event, such as `Bounce`.
        part: Its inner object.
        about: The entry of the recipient in it; empty if there is none.
    """
    if word == "Bounce":
        return _bounce(part, about)
    if word == "DeliveryDelay":
        fault = _DELAYS.get(_plain(part.get("delayType")), BounceFault.UNKNOWN)
        return Kind.DELAYED, {FAULT: fault}
    if word in _REFUSALS:
        return Kind.REJECTED, {FAULT: BounceFault.CONTENT}
    if word == "Complaint":
        return _complaint(part), {}
    if word == "Subscription":
        return _subscription(part)
    return _KINDS[word], {}


def topics_of(part: Mapping[str, Any]) -> str | None:
    """Return the topics that a Subscription event changes, with blanks between; None where it names none."""
    changed = sorted(name for name, status in _topics(part, "new").items() if _topics(part, "old").get(name) != status)
    return " ".join(changed) or None


def _bounce(part: Mapping[str, Any], about: Mapping[str, Any]) -> tuple[Kind, dict[str, str]]:
    kind, subkind = _plain(part.get("bounceType")), _plain(part.get("bounceSubType")) or _GENERAL
    # SES reports a bounce for an address on its own or the account's list, though nothing was sent.
    if "suppress" in subkind:
        return Kind.SUPPRESSED, {}
    if kind == "permanent" and subkind == _NO_EMAIL:
        return Kind.BOUNCED_HARD, {FAULT: BounceFault.RECIPIENT}
    if kind == "transient":
        if subkind == _GENERAL and not any(about.get(name) for name in _OF_A_NOTIFICATION):
            return Kind.AUTORESPONDED, {}
        action = _plain(about.get("action"))
        # Another server's notice that it still tries; SES itself stops trying after some hours and says `expired`.
        if action in _NO_FAILURE and "expired" not in _plain(about.get("diagnosticCode")):
            return _NO_FAILURE[action], {}
    meaning = meaning_of_bounce(
        about.get("status"),
        about.get("diagnosticCode"),
        permanent=kind == "permanent" and subkind == _GENERAL,
        otherwise=BounceFault.UNKNOWN,
    )
    known = _TRANSIENT.get(subkind) if kind == "transient" and meaning.kind is not Kind.BOUNCED_HARD else None
    return meaning.kind, {FAULT: known or meaning.fault}


def _complaint(part: Mapping[str, Any]) -> Kind:
    if "suppress" in _plain(part.get("complaintSubType")):
        return Kind.SUPPRESSED
    return Kind.OTHER if _plain(part.get("complaintFeedbackType")) == "not-spam" else Kind.COMPLAINED


def _subscription(part: Mapping[str, Any]) -> tuple[Kind, dict[str, str]]:
    """Return `unsubscribed` where the contact leaves all, with the fact `scope`, or leaves a topic; else `other`."""
    if table(part.get("newTopicPreferences")).get("unsubscribeAll") is True:
        return Kind.UNSUBSCRIBED, {"scope": "not_transactional"}
    before = _topics(part, "old")
    left = [name for name, status in _topics(part, "new").items() if status == "optout" and before.get(name) != status]
    return (Kind.UNSUBSCRIBED if left else Kind.OTHER), {}


def _topics(part: Mapping[str, Any], which: str) -> dict[str, str]:
    preferences = table(part.get(f"{which}TopicPreferences"))
    rows = [table(row) for row in listed(preferences.get("topicSubscriptionStatus"))]
    return {
        name: _plain(row.get("subscriptionStatus")) for row in rows if isinstance(name := row.get("topicName"), str)
    }


def _plain(word: object) -> str:
    """Return a word of SES's without its capitals: its APIs differ in them."""
    return word.strip().lower() if isinstance(word, str) else ""
