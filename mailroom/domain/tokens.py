"""Short texts for URLs that only we can have made: what they say, and a tag over it.

Whoever has one can read it, so it names ids and nothing secret. Nothing is looked up to know a forged one, and it stays
good as long as the key: a link in an old mail must work as long as the mail is kept.
"""

import base64
import binascii
import hashlib
import hmac

#: Half of a SHA-256, as HMAC allows (RFC 2104, section 5).
_TAG_BYTES = 16


def seal(said: bytes, *, purpose: bytes, key: bytes) -> str:
    """Return the token that says this; one made for another purpose never passes for it.

    Raises:
        ValueError: the key is shorter than 16 bytes.
    """
    return base64.urlsafe_b64encode(said + _tag(said, purpose, key)).decode().rstrip("=")


def unseal(token: str, *, purpose: bytes, key: bytes) -> bytes | None:
    """Return what a token says, or None for any that was not made with this key. Takes as long for any wrong one."""
    try:
        given = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        given = b""
    said, tag = given[:-_TAG_BYTES], given[-_TAG_BYTES:]
    genuine = hmac.compare_digest(tag, _tag(said, purpose, key))
    # Base64 has several spellings of the same bytes; only ours is taken.
    return said if genuine and seal(said, purpose=purpose, key=key) == token else None


def _tag(said: bytes, purpose: bytes, key: bytes) -> bytes:
    if len(key) < 16:
        raise ValueError("the key must have at least 16 bytes")
    return hmac.digest(key, purpose + said, hashlib.sha256)[:_TAG_BYTES]
