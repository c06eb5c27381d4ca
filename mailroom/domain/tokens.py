"""Signed tokens for URLs: a payload and an HMAC tag over it.

The payload is readable, so it contains ids and nothing secret. A token is verified without a lookup and stays valid as long
as the key: a link in an old mail must work as long as the mail is kept.
"""

import base64
import binascii
import hashlib
import hmac

#: Half of a SHA-256, as HMAC allows (RFC 2104, section 5).
_TAG_BYTES = 16


def seal(payload: bytes, *, purpose: bytes, key: bytes) -> str:
    """Return the token of a payload; a token is valid for its purpose only.

    Raises:
        ValueError: the key is shorter than 16 bytes.
    """
    return base64.urlsafe_b64encode(payload + _tag(payload, purpose, key)).decode().rstrip("=")


def unseal(token: str, *, purpose: bytes, key: bytes) -> bytes | None:
    """Return the payload of a token, or None if it was not made with this key and purpose. The tag check is constant-time."""
    try:
        given = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        given = b""
    payload, tag = given[:-_TAG_BYTES], given[-_TAG_BYTES:]
    genuine = hmac.compare_digest(tag, _tag(payload, purpose, key))
    # Base64 has several spellings of the same bytes; only ours is accepted.
    return payload if genuine and seal(payload, purpose=purpose, key=key) == token else None


def _tag(payload: bytes, purpose: bytes, key: bytes) -> bytes:
    if len(key) < 16:
        raise ValueError("the key must have at least 16 bytes")
    return hmac.digest(key, purpose + payload, hashlib.sha256)[:_TAG_BYTES]
