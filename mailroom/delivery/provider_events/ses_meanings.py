"""What SES's events mean: their kind in our vocabulary, and whose fault a bounce, refusal or delay is.

SES reports an automatic reply (out of office) as a bounce, Transient/General, without the fields of a delivery status
notification. A status of the recipient outranks the type: see `bounce_status`.

Source: SES developer guide, "Contents of event data that Amazon SES publishes to Amazon SNS", "Bounce object" (2026).
"""

from collections.abc import Mapping
from typing import Any

from mailroom.delivery.provider_events.fields import plain
from mailroom.delivery.provider_events.ses_topics import left_facts, left_now, statuses
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
        fault = _DELAYS.get(plain(part.get("delayType")), BounceFault.UNKNOWN)
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
    now, before = statuses(part, "new"), statuses(part, "old")
    changed = sorted(name for name, status in now.items() if before.get(name) != status)
    return " ".join(changed) or None


def _bounce(part: Mapping[str, Any], about: Mapping[str, Any]) -> tuple[Kind, dict[str, str]]:
    kind, subkind = plain(part.get("bounceType")), plain(part.get("bounceSubType")) or _GENERAL
    # SES reports a bounce for an address on its own or the account's list, though nothing was sent.
    if "suppress" in subkind:
        return Kind.SUPPRESSED, {}
    if kind == "permanent" and subkind == _NO_EMAIL:
        return Kind.BOUNCED_HARD, {FAULT: BounceFault.RECIPIENT}
    if kind == "transient":
        if subkind == _GENERAL and not any(about.get(name) for name in _OF_A_NOTIFICATION):
            return Kind.AUTORESPONDED, {}
        action = plain(about.get("action"))
        # Another server's notice that it still tries; SES itself stops trying after some hours and says `expired`.
        if action in _NO_FAILURE and "expired" not in plain(about.get("diagnosticCode")):
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
    if "suppress" in plain(part.get("complaintSubType")):
        return Kind.SUPPRESSED
    return Kind.OTHER if plain(part.get("complaintFeedbackType")) == "not-spam" else Kind.COMPLAINED


def _subscription(part: Mapping[str, Any]) -> tuple[Kind, dict[str, str]]:
    """Return `unsubscribed` where the contact leaves all mail or a topic, with what it covers; else `other`.

    A topic whose name is no stream's leaves what the message's own link would.
    """
    if facts := left_facts(part):
        return Kind.UNSUBSCRIBED, facts
    return (Kind.UNSUBSCRIBED if left_now(part) else Kind.OTHER), {}
