"""Postmark's webhooks: one JSON object a call, not signed; Basic authentication over HTTPS is all there is.

Source: Postmark developer documentation, "Webhooks overview" and "Bounce API: bounce types" (2026).
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from mailroom.delivery.provider_events.calls import Call
from mailroom.delivery.provider_events.credentials import Credential
from mailroom.delivery.provider_events.fields import (
    OUR_ID,
    Unreadable,
    digest,
    identifier,
    load,
    mailbox,
    moment,
    reader_of,
    table,
    words,
)
from mailroom.delivery.provider_events.sns import Unverified
from mailroom.domain.delivery.events import DeliveryEvent, Kind
from mailroom.domain.times import happened

PROVIDER = "postmark"

_KINDS = {
    "Delivery": Kind.DELIVERED,
    "SpamComplaint": Kind.COMPLAINED,
    "Open": Kind.OPENED,
    "Click": Kind.CLICKED,
}
_BOUNCES = {
    "HardBounce": Kind.BOUNCED_HARD,
    "BadEmailAddress": Kind.BOUNCED_HARD,
    "SoftBounce": Kind.BOUNCED_SOFT,
    "DnsError": Kind.BOUNCED_SOFT,
    "Blocked": Kind.BOUNCED_SOFT,
    "SpamNotification": Kind.BOUNCED_SOFT,
    "Transient": Kind.DELAYED,
    "ManuallyDeactivated": Kind.SUPPRESSED,
    "SpamComplaint": Kind.COMPLAINED,
    "Unsubscribe": Kind.UNSUBSCRIBED,
    "AutoResponder": Kind.AUTORESPONDED,
    "ChallengeVerification": Kind.AUTORESPONDED,
    "AddressChange": Kind.AUTORESPONDED,
    "VirusNotification": Kind.REJECTED,
    "DMARCPolicy": Kind.REJECTED,
    "Unconfirmed": Kind.REJECTED,
    "SMTPApiError": Kind.REJECTED,
    "TemplateRenderingFailed": Kind.REJECTED,
}
_TIMES = ("DeliveredAt", "BouncedAt", "ReceivedAt", "ChangedAt")
#: Mail that was received, which is not told of here.
_NOT_SENT = frozenset({"Inbound"})


class Verifier:
    """Checks calls against the `user:password` of the accounts that may tell us of mail."""

    status = 401

    def __init__(self, pairs: Sequence[Credential]) -> None:
        """Take the pairs; one without a user or a password matches nothing."""
        whole = [pair for pair in pairs if all(pair.secret.partition(":")[::2])]
        self._digests = [(_digest(pair.secret.encode()), pair.tenant) for pair in whole]

    def verify(self, call: Call) -> str | None:
        """Return whose account this call is of; see `CallVerifier`."""
        return self.check(call.header("authorization"))

    def check(self, authorization: str) -> str | None:
        """Return whose account this call is of: a tenant's, or None for all of them. Takes as long for any wrong one.

        Raises:
            Unverified: no pair of ours came with it.
        """
        scheme, _, value = authorization.partition(" ")
        try:
            sent = base64.b64decode(value.strip(), validate=True) if scheme.lower() == "basic" else b""
        except (binascii.Error, ValueError):
            sent = b""
        # All are compared, as digests of one length: nothing tells how near a guess was.
        matches = [tenant for digest_, tenant in self._digests if hmac.compare_digest(digest_, _digest(sent))]
        if not matches:
            raise Unverified("not a verified Postmark call", step="credentials")
        return matches[0]


def read(body: bytes, *, received_at: datetime) -> list[DeliveryEvent]:
    """Return what Postmark tells; nothing of mail that was received.

    Raises:
        Unreadable: it is no JSON object, or not one of a record.
    """
    values = load(body)
    if not isinstance(values, dict) or not isinstance(values.get("RecordType"), str):
        raise Unreadable("Postmark's call is no record", size=len(body))
    return [] if values["RecordType"] in _NOT_SENT else [_event(values, received_at)]


def _event(told: Mapping[str, Any], received_at: datetime) -> DeliveryEvent:
    word, kind = told["RecordType"], _kind(told)
    at = moment(*(told.get(name) for name in _TIMES))
    message_id, recipient = identifier(told.get("MessageID")), mailbox(told.get("Recipient") or told.get("Email"))
    number = identifier(told.get("ID"))
    distinguished = (told.get(name) for name in ("OriginalLink", "SuppressSending", "SuppressionReason"))
    mark = number or digest(message_id, at, recipient, *distinguished)
    return DeliveryEvent(
        provider=PROVIDER,
        event_id=f"{''.join(filter(str.isalnum, word))[:40]}-{mark}",
        kind=kind,
        at=happened(at, received_at=received_at),
        provider_message_id=message_id,
        message_id=identifier(table(told.get("Metadata")).get(OUR_ID)),
        recipient=recipient,
        actor=reader_of(kind, told.get("UserAgent")),
        facts=words(
            record=word,
            bounce_type=told.get("Type"),
            bounce_code=told.get("TypeCode"),
            reason=told.get("SuppressionReason"),
            origin=told.get("Origin"),
            platform=told.get("Platform"),
            stream=told.get("MessageStream"),
        ),
    )


def _kind(told: Mapping[str, Any]) -> Kind:
    word = told["RecordType"]
    if word == "Bounce":
        return _BOUNCES.get(str(told.get("Type")), Kind.OTHER)
    if word == "SubscriptionChange":
        # Suppression after a bounce or complaint is told beside these; here only the recipient's own word counts.
        left = told.get("SuppressSending") is True and told.get("SuppressionReason") == "ManualSuppression"
        return Kind.UNSUBSCRIBED if left and told.get("Origin") == "Recipient" else Kind.OTHER
    return _KINDS.get(word, Kind.OTHER)


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()
