"""SendGrid's Event Webhook: a JSON array, signed with ECDSA over its timestamp and the bytes of the body as they came.

Source: Twilio SendGrid, "Event Webhook Reference", "Event Webhook Security Features" and "Bounce and block
classifications" (2026).
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Never

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mailroom.delivery.provider_events.calls import Call
from mailroom.delivery.provider_events.credentials import Credential
from mailroom.delivery.provider_events.fields import (
    MOST_EVENTS,
    OUR_ID,
    Unreadable,
    codes,
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
from mailroom.domain.delivery.bounce_status import (
    FAULT,
    SEND_AGAIN,
    BounceFault,
    BounceMeaning,
    meaning_of_bounce,
)
from mailroom.domain.delivery.events import LOOKS, Actor, DeliveryEvent, Kind
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.times import happened

PROVIDER = "sendgrid"
SIGNATURE_HEADER = "x-twilio-email-event-webhook-signature"
TIMESTAMP_HEADER = "x-twilio-email-event-webhook-timestamp"

#: SendGrid signs each attempt afresh, so a valid call is recent; the margin covers clock differences.
_OLDEST, _NEWEST = timedelta(minutes=10), timedelta(minutes=5)
_KINDS = {
    "processed": Kind.SENT,
    "delivered": Kind.DELIVERED,
    "deferred": Kind.DELAYED,
    "open": Kind.OPENED,
    "click": Kind.CLICKED,
    "spamreport": Kind.COMPLAINED,
    "unsubscribe": Kind.UNSUBSCRIBED,
    "group_unsubscribe": Kind.UNSUBSCRIBED,
}
_SECONDS = re.compile(r"[0-9]{1,12}")
#: Where the part about the route through SendGrid begins in its message id.
_ROUTE = re.compile(r"\.(?:filter|recvd)")
#: What SendGrid's classification of a bounce means; another word is explicitly unknown.
_CLASSIFIED = {
    "invalid address": BounceMeaning(Kind.BOUNCED_HARD, BounceFault.RECIPIENT),
    "mailbox unavailable": BounceMeaning(Kind.BOUNCED_SOFT, BounceFault.RECIPIENT),
    "content": BounceMeaning(Kind.BOUNCED_SOFT, BounceFault.CONTENT),
    "technical failure": BounceMeaning(Kind.BOUNCED_SOFT, BounceFault.UNKNOWN),
    "reputation": BounceMeaning(Kind.BOUNCED_SOFT, BounceFault.POLICY),
    "frequency or volume too high": BounceMeaning(Kind.BOUNCED_SOFT, BounceFault.POLICY),
    "unclassified": BounceMeaning(Kind.BOUNCED_SOFT, BounceFault.UNKNOWN),
}
_UNCLASSIFIED = _CLASSIFIED["unclassified"]
#: Statuses of an address that takes no mail, whatever the classification.
_HARD_STATUSES = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"})
#: Reasons for dropping a mail: a suppression list of SendGrid's, the account's quota, or the mail itself.
_DROPPED: dict[str, tuple[Kind, dict[str, str]]] = {
    "bounced address": (Kind.SUPPRESSED, {}),
    "spam reporting address": (Kind.SUPPRESSED, {}),
    "unsubscribed address": (Kind.SUPPRESSED, {}),
    "invalid": (Kind.SUPPRESSED, {}),
    "recipient list over package quota": (Kind.REJECTED, {FAULT: BounceFault.QUOTA, SEND_AGAIN: "yes"}),
    "spam content": (Kind.REJECTED, {FAULT: BounceFault.CONTENT}),
    "invalid smtpapi header": (Kind.REJECTED, {FAULT: BounceFault.CONTENT}),
}


class Verifier:
    """Checks calls against the public keys of the accounts that may send events."""

    status = 403

    def __init__(self, keys: Sequence[Credential]) -> None:
        """Take the keys as SendGrid shows them: base64 of DER.

        Raises:
            ConfigurationError: a word is not such a key.
        """
        self._keys = [(_public_key(key.secret), key.tenant) for key in keys]

    def verify(self, call: Call) -> str | None:
        """Return the tenant of the account that signed this call; see `CallVerifier`."""
        signature, timestamp = call.header(SIGNATURE_HEADER), call.header(TIMESTAMP_HEADER)
        return self.check(call.body, signature=signature, timestamp=timestamp, now=call.now)

    def check(self, body: bytes, *, signature: str, timestamp: str, now: datetime) -> str | None:
        """Return the tenant of the account that signed this call, or None for an account of all tenants.

        Raises:
            Unverified: `step` is time or signature.
        """
        signed_at = moment(int(timestamp)) if _SECONDS.fullmatch(timestamp) else None
        if signed_at is None or not -_NEWEST <= now - signed_at <= _OLDEST:
            _refuse("time")
        try:
            given = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            _refuse("signature")
        signed = timestamp.encode() + body
        tenants = [tenant for key, tenant in self._keys if _signed(key, given, signed)]
        return tenants[0] if tenants else _refuse("signature")


def read(body: bytes, *, received_at: datetime) -> list[DeliveryEvent]:
    """Return the events of a call; entries that are not events are skipped.

    Raises:
        Unreadable: the body is not a JSON array of at most a thousand entries.
    """
    values = load(body)
    if not isinstance(values, list) or len(values) > MOST_EVENTS:
        raise Unreadable("SendGrid's call is not an array of at most a thousand events", size=len(body))
    return [_event(one, received_at) for one in values if isinstance(one, dict) and isinstance(one.get("event"), str)]


def _event(payload: Mapping[str, Any], received_at: datetime) -> DeliveryEvent:
    kind, meant = _meaning(payload)
    # `sg_message_id` is the id that the send returned, followed by the route through SendGrid.
    sent = identifier(payload.get("sg_message_id"))
    return DeliveryEvent(
        provider=PROVIDER,
        event_id=identifier(payload.get("sg_event_id")) or digest(*sorted(table(payload).items())),
        kind=kind,
        at=happened(moment(payload.get("timestamp")), received_at=received_at),
        provider_message_id=_ROUTE.split(sent)[0] if sent else None,
        message_id=identifier(payload.get(OUR_ID)),
        recipient=mailbox(payload.get("email")),
        actor=_actor(kind, payload),
        facts=codes(payload.get("response") or payload.get("reason"))
        | words(
            event=payload.get("event"),
            bounce_type=payload.get("type"),
            classification=payload.get("bounce_classification"),
            status=payload.get("status"),
            attempt=payload.get("attempt"),
        )
        | meant,
    )


def _meaning(payload: Mapping[str, Any]) -> tuple[Kind, dict[str, str]]:
    """Return the kind of an event, and the facts that say whose fault it is or what its recipient leaves."""
    word = payload["event"]
    if word == "bounce":
        meaning = _bounce(payload)
        return meaning.kind, {FAULT: meaning.fault}
    if word == "dropped":
        reason = _plain(payload.get("reason"))
        kind, facts = _DROPPED.get(reason, (Kind.REJECTED, {FAULT: BounceFault.UNKNOWN}))
        return kind, facts | ({"drop_reason": reason} if reason in _DROPPED else {})
    if word == "unsubscribe":
        return Kind.UNSUBSCRIBED, {"scope": "not_transactional"}
    if word in ("group_unsubscribe", "group_resubscribe"):
        return _KINDS.get(word, Kind.OTHER), words(group=payload.get("asm_group_id"))
    return _KINDS.get(word, Kind.OTHER), {}


def _bounce(payload: Mapping[str, Any]) -> BounceMeaning:
    kind, classification = _plain(payload.get("type", "bounce")), _plain(payload.get("bounce_classification"))
    if kind == "expired":
        return BounceMeaning(Kind.BOUNCED_SOFT, BounceFault.RECIPIENT)
    if kind != "bounce":
        # Blocked mail may be accepted another time, and its address is on no list of SendGrid's.
        fault = _CLASSIFIED.get(classification, _UNCLASSIFIED).fault
        other = fault if fault is not BounceFault.RECIPIENT else BounceFault.UNKNOWN
        return BounceMeaning(Kind.BOUNCED_SOFT, other)
    status = payload.get("status")
    if isinstance(status, str) and status.strip() in _HARD_STATUSES:
        return _CLASSIFIED["invalid address"]
    if not classification:
        # Accounts without classifications: SendGrid's word is that it is permanent.
        return meaning_of_bounce(status, payload.get("reason"), permanent=True, otherwise=BounceFault.UNKNOWN)
    return _CLASSIFIED.get(classification, _UNCLASSIFIED)


def _plain(word: object) -> str:
    return word.strip().lower() if isinstance(word, str) else ""


def _actor(kind: Kind, payload: Mapping[str, Any]) -> Actor:
    is_machine = kind in LOOKS and payload.get("sg_machine_open") is True
    return Actor.MACHINE if is_machine else reader_of(kind, payload.get("useragent"))


def _signed(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _public_key(text: str) -> ec.EllipticCurvePublicKey:
    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ConfigurationError(
            "MAILROOM_SENDGRID_HOOK_KEYS (or MAILROOM_PROVIDER_HOOKS) has an entry that is not an ECDSA public key in base64"
        )
    return key


def _refuse(step: str) -> Never:
    raise Unverified("not a verified SendGrid call", step=step) from None
