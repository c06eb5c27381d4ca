"""Postmark's webhooks: one JSON object a call, unsigned, with Basic authentication over HTTPS.

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
from mailroom.domain.delivery.bounce_status import FAULT, SEND_AGAIN, BounceFault
from mailroom.domain.delivery.events import DeliveryEvent, Kind
from mailroom.domain.times import happened

PROVIDER = "postmark"

_KINDS = {
    "Delivery": Kind.DELIVERED,
    "SpamComplaint": Kind.COMPLAINED,
    "Open": Kind.OPENED,
    "Click": Kind.CLICKED,
}
#: What each type of bounce means, with the facts that say whose fault it is. `AutoResponder` also holds reports that Postmark
#: could not read; only HardBounce, BadEmailAddress and SpamComplaint say that the address gets no more mail.
_BOUNCES: dict[str, tuple[Kind, dict[str, str]]] = {
    "HardBounce": (Kind.BOUNCED_HARD, {FAULT: BounceFault.RECIPIENT}),
    "BadEmailAddress": (Kind.BOUNCED_HARD, {FAULT: BounceFault.RECIPIENT}),
    "SoftBounce": (Kind.BOUNCED_SOFT, {FAULT: BounceFault.RECIPIENT}),
    "DnsError": (Kind.BOUNCED_SOFT, {FAULT: BounceFault.RECIPIENT}),
    "Blocked": (Kind.BOUNCED_SOFT, {FAULT: BounceFault.POLICY}),
    "SpamNotification": (Kind.BOUNCED_SOFT, {FAULT: BounceFault.CONTENT}),
    "Transient": (Kind.DELAYED, {FAULT: BounceFault.RECIPIENT}),
    "ManuallyDeactivated": (Kind.SUPPRESSED, {}),
    "SpamComplaint": (Kind.COMPLAINED, {}),
    "Unsubscribe": (Kind.UNSUBSCRIBED, {}),
    "Subscribe": (Kind.OTHER, {}),
    "AutoResponder": (Kind.AUTORESPONDED, {}),
    "ChallengeVerification": (Kind.AUTORESPONDED, {}),
    "AddressChange": (Kind.AUTORESPONDED, {}),
    "VirusNotification": (Kind.REJECTED, {FAULT: BounceFault.CONTENT}),
    "TemplateRenderingFailed": (Kind.REJECTED, {FAULT: BounceFault.CONTENT}),
    "DMARCPolicy": (Kind.REJECTED, {FAULT: BounceFault.ACCOUNT, SEND_AGAIN: "yes"}),
    "SMTPApiError": (Kind.REJECTED, {FAULT: BounceFault.ACCOUNT, SEND_AGAIN: "yes"}),
    "Unconfirmed": (Kind.REJECTED, {FAULT: BounceFault.ACCOUNT}),
    "OpenRelayTest": (Kind.OTHER, {FAULT: BounceFault.UNKNOWN}),
    "Unknown": (Kind.OTHER, {FAULT: BounceFault.UNKNOWN}),
    "InboundError": (Kind.OTHER, {FAULT: BounceFault.UNKNOWN}),
}
_TIMES = ("DeliveredAt", "BouncedAt", "ReceivedAt", "ChangedAt")
#: Records about received mail; only sent mail has events here.
_NOT_SENT = frozenset({"Inbound"})


class Verifier:
    """Checks calls against the `user:password` of the accounts that may send events."""

    status = 401

    def __init__(self, pairs: Sequence[Credential]) -> None:
        """Take the pairs; a pair without user or password matches nothing."""
        whole = [pair for pair in pairs if all(pair.secret.partition(":")[::2])]
        self._digests = [(_digest(pair.secret.encode()), pair.tenant) for pair in whole]

    def verify(self, call: Call) -> str | None:
        """Return the account's tenant; see `CallVerifier`."""
        return self.check(call.header("authorization"))

    def check(self, authorization: str) -> str | None:
        """Return the account's tenant, or None for an account of all tenants. Every wrong pair takes the same time.

        Raises:
            Unverified: the header has none of the configured pairs.
        """
        scheme, _, value = authorization.partition(" ")
        try:
            sent = base64.b64decode(value.strip(), validate=True) if scheme.lower() == "basic" else b""
        except (binascii.Error, ValueError):
            sent = b""
        # All are compared, as digests of one length, so that timing does not show how close a guess was.
        matches = [tenant for digest_, tenant in self._digests if hmac.compare_digest(digest_, _digest(sent))]
        if not matches:
            raise Unverified("not a verified Postmark call", step="credentials")
        return matches[0]


def read(body: bytes, *, received_at: datetime) -> list[DeliveryEvent]:
    """Return the event of a call; no event for a record about received mail.

    Raises:
        Unreadable: the body is not a JSON object with a `RecordType`.
    """
    values = load(body)
    if not isinstance(values, dict) or not isinstance(values.get("RecordType"), str):
        raise Unreadable("Postmark's call is not a record", size=len(body))
    return [] if values["RecordType"] in _NOT_SENT else [_event(values, received_at)]


def _event(payload: Mapping[str, Any], received_at: datetime) -> DeliveryEvent:
    word, (kind, meant) = payload["RecordType"], _meaning(payload)
    at = moment(*(payload.get(name) for name in _TIMES))
    message_id, number = identifier(payload.get("MessageID")), identifier(payload.get("ID"))
    recipient = mailbox(payload.get("Recipient") or payload.get("Email"))
    distinguished = (payload.get(name) for name in ("OriginalLink", "SuppressSending", "SuppressionReason"))
    mark = number or digest(message_id, at, recipient, *distinguished)
    return DeliveryEvent(
        provider=PROVIDER,
        event_id=f"{''.join(filter(str.isalnum, word))[:40]}-{mark}",
        kind=kind,
        at=happened(at, received_at=received_at),
        provider_message_id=message_id,
        message_id=identifier(table(payload.get("Metadata")).get(OUR_ID)),
        recipient=recipient,
        actor=reader_of(kind, payload.get("UserAgent")),
        facts=words(
            record=word,
            bounce_type=payload.get("Type"),
            bounce_code=payload.get("TypeCode"),
            reason=payload.get("SuppressionReason"),
            origin=payload.get("Origin"),
            platform=payload.get("Platform"),
            stream=payload.get("MessageStream"),
        )
        | meant,
    )


def _meaning(payload: Mapping[str, Any]) -> tuple[Kind, dict[str, str]]:
    if payload["RecordType"] == "Bounce":
        return _BOUNCES.get(str(payload.get("Type")), (Kind.OTHER, {FAULT: BounceFault.UNKNOWN}))
    return _kind(payload), {}


def _kind(payload: Mapping[str, Any]) -> Kind:
    word = payload["RecordType"]
    if word == "SubscriptionChange":
        # A bounce or complaint has its own record; of suppressions only the recipient's own request counts here.
        left = payload.get("SuppressSending") is True and payload.get("SuppressionReason") == "ManualSuppression"
        return Kind.UNSUBSCRIBED if left and payload.get("Origin") == "Recipient" else Kind.OTHER
    return _KINDS.get(word, Kind.OTHER)


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()
