"""SES's events of accepted mail, chosen by the recipient's address.

SES's simulator has an address for each outcome (`bounce@simulator.amazonses.com`, also with `+label`). Here the same words work
as a local part at any domain, with a label: `bounce+7@users.test`. Mail to any other address is delivered.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.parser import HeaderParser
from email.utils import parseaddr
from typing import Any

from mailroom.delivery.provider_events.fields import CORRELATION_HEADER, OUR_ID

SIMULATOR = "simulator.amazonses.com"

_MOST_HEADER_BYTES = 10 * 1024
#: After this time opens and clicks are a person's; sooner ones count as a machine's.
_READING = timedelta(seconds=90)
_BROWSER = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
_ENDS = {
    "success": ("Delivery",),
    "bounce": ("Bounce",),
    "softbounce": ("SoftBounce",),
    "suppressionlist": ("Listed",),
    "complaint": ("Delivery", "Complaint"),
    "delay": ("DeliveryDelay",),
    "reject": ("Reject",),
    "open": ("Delivery", "Open"),
    "click": ("Delivery", "Open", "Click"),
    "scanner": ("Delivery", "ScannerClick"),
    "latebounce": ("Delivery", "Bounce"),
    # A holiday: delivered, and then an automatic reply, which SES reports as a bounce.
    "ooto": ("Delivery", "AutomaticReply"),
    "silent": (),
}


@dataclass(frozen=True, slots=True)
class AcceptedMail:
    """A mail that SES accepted: its id, sender, recipients and raw text."""

    message_id: str
    source: str
    destinations: tuple[str, ...]
    raw: str
    at: datetime


def events_of(taken: AcceptedMail, *, account_id: str, configuration_set: str) -> list[str]:
    """Return the events that SES publishes for this mail, as JSON, in SES's order: Send first."""
    mail = _mail(taken, account_id, configuration_set)
    values = [{"eventType": "Send", "send": {}, "mail": mail}]
    for address in dict.fromkeys(parseaddr(destination)[1] for destination in taken.destinations):
        values += [_event(end, address, taken, mail) for end in _ends(address)]
    return [json.dumps(event, separators=(",", ":")) for event in values]


def _ends(address: str) -> tuple[str, ...]:
    local, _, domain = address.lower().partition("@")
    word, label, _ = local.partition("+")
    # A person may be called Bounce; with a label, or at the simulator, it selects the outcome.
    return _ENDS.get(word, ("Delivery",)) if label or domain == SIMULATOR else ("Delivery",)


def _event(end: str, address: str, taken: AcceptedMail, mail: Mapping[str, Any]) -> dict[str, Any]:
    word, part, later = _PARTS[end]
    values = json.loads(json.dumps(part).replace("ADDRESS", address).replace("MESSAGE", taken.message_id))
    values["timestamp"] = _stamp(taken.at + later)
    name = {"DeliveryDelay": "deliveryDelay"}.get(word, word.lower())
    return {"eventType": word, name: values, "mail": mail}


def _mail(taken: AcceptedMail, account_id: str, configuration_set: str) -> dict[str, Any]:
    headers = list(_within(HeaderParser().parsestr(taken.raw[: 10 * _MOST_HEADER_BYTES]).items()))
    ours = [value for name, value in headers if name.lower() == CORRELATION_HEADER]
    tags = {
        "ses:configuration-set": [configuration_set],
        "ses:from-domain": [taken.source.rpartition("@")[2].strip(">")],
    }
    return {
        "timestamp": _stamp(taken.at),
        "source": taken.source,
        "sendingAccountId": account_id,
        "messageId": taken.message_id,
        "destination": list(taken.destinations),
        "headersTruncated": False,
        "headers": [{"name": name, "value": value} for name, value in headers],
        "commonHeaders": {"messageId": taken.message_id},
        # The emulator does not keep the tags of a mail; our header has the same id.
        "tags": tags | ({OUR_ID: ours[:1]} if ours else {}),
    }


def _within(headers: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    total = 0
    for name, value in headers:
        total += len(name) + len(value)
        if total > _MOST_HEADER_BYTES:
            return
        yield name, " ".join(str(value).split())


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _bounce(kind: str, subtype: str, status: str, answer: str, mark: str) -> dict[str, Any]:
    recipient = {"emailAddress": "ADDRESS", "action": "failed", "status": status, "diagnosticCode": f"smtp; {answer}"}
    return {
        "bounceType": kind,
        "bounceSubType": subtype,
        "bouncedRecipients": [recipient],
        "feedbackId": f"MESSAGE-{mark}",
        "reportingMTA": "dsn; sandbox.amazonses.com",
    }


_LOOK: dict[str, Any] = {"ipAddress": "192.0.2.1", "userAgent": _BROWSER}
_SOON = timedelta(milliseconds=400)
_PARTS: dict[str, tuple[str, dict[str, Any], timedelta]] = {
    "Delivery": (
        "Delivery",
        {
            "processingTimeMillis": 400,
            "recipients": ["ADDRESS"],
            "smtpResponse": "250 2.6.0 Message received",
            "reportingMTA": "sandbox.amazonses.com",
        },
        _SOON,
    ),
    "Bounce": ("Bounce", _bounce("Permanent", "General", "5.1.1", "550 5.1.1 user unknown", "bounce"), 2 * _SOON),
    "SoftBounce": ("Bounce", _bounce("Transient", "MailboxFull", "5.2.2", "552 5.2.2 mailbox full", "soft"), _SOON),
    "AutomaticReply": (
        "Bounce",
        {
            "bounceType": "Transient",
            "bounceSubType": "General",
            "bouncedRecipients": [{"emailAddress": "ADDRESS"}],
            "feedbackId": "MESSAGE-reply",
        },
        2 * _SOON,
    ),
    "Listed": ("Bounce", _bounce("Permanent", "OnAccountSuppressionList", "5.1.1", "not sent", "listed"), _SOON),
    "Complaint": (
        "Complaint",
        {
            "complainedRecipients": [{"emailAddress": "ADDRESS"}],
            "complaintFeedbackType": "abuse",
            "complaintSubType": None,
            "feedbackId": "MESSAGE-complaint",
            "userAgent": "Amazon SES Mailbox Simulator",
        },
        _READING,
    ),
    "DeliveryDelay": (
        "DeliveryDelay",
        {
            "delayType": "TransientCommunicationFailure",
            "delayedRecipients": [
                {"emailAddress": "ADDRESS", "status": "4.4.1", "diagnosticCode": "smtp; 421 4.4.1 try later"}
            ],
        },
        _SOON,
    ),
    "Reject": ("Reject", {"reason": "Bad content"}, _SOON),
    "Open": ("Open", _LOOK, _READING),
    "Click": ("Click", {**_LOOK, "link": "https://link.test/", "linkTags": {}}, _READING),
    "ScannerClick": ("Click", {**_LOOK, "link": "https://link.test/", "linkTags": {}}, 2 * _SOON),
}
