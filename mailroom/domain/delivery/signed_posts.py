"""Signs outgoing webhooks: HMAC over timestamp and body.

`Mailroom-Signature: t=<seconds since 1970>,v1=<hex>` is the HMAC-SHA256, with the endpoint's secret as key, of the time, a
full stop and the body. The receiver compares in constant time and refuses times more than five minutes away.
`Mailroom-Delivery` names what is delivered, so that the receiver recognises repetitions.
"""

import hashlib
import hmac
from datetime import datetime


def signed_headers(body: bytes, delivery: str, secret: str, *, now: datetime) -> dict[str, str]:
    """Return the headers of a signed JSON POST."""
    return {
        "Content-Type": "application/json",
        "Mailroom-Delivery": delivery,
        "Mailroom-Signature": signature(body, secret, now=now),
    }


def signature(body: bytes, secret: str, *, now: datetime) -> str:
    """Return the value of `Mailroom-Signature`."""
    at = int(now.timestamp())
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={digest.hexdigest()}"
