"""How whoever is told by a POST knows that it is we who tell: a signature over the body and the time.

`Mailroom-Signature: t=<seconds since 1970>,v1=<hex>` is the HMAC-SHA256, under the secret that the endpoint was given, of
the time, a full stop and the body; whoever receives it compares in constant time and refuses times over five minutes
away. `Mailroom-Delivery` names what is told, so that what comes twice is known.
"""

import hashlib
import hmac
from datetime import datetime


def signed_headers(body: bytes, delivery: str, secret: str, *, now: datetime) -> dict[str, str]:
    """Return the headers of a POST of JSON."""
    return {
        "Content-Type": "application/json",
        "Mailroom-Delivery": delivery,
        "Mailroom-Signature": signature(body, secret, now=now),
    }


def signature(body: bytes, secret: str, *, now: datetime) -> str:
    """Return the value of the header that proves who posts, and when."""
    at = int(now.timestamp())
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={digest.hexdigest()}"
