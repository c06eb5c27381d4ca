"""The link by which a recipient leaves (RFC 8058): it names the message, and only we can have made it.

A token is the message's id and a tag over it, so it says nobody's address and needs no table. It stays good: a link in an
old mail must work as long as the mail is kept. Whoever has the mail can leave with it, which is what it is for.
"""

import base64
import binascii
import hashlib
import hmac
from uuid import UUID

PATH = "/u/"

#: What a content says in place of a URL where each message is to have our own link.
OURS = "ours"

#: Half of a SHA-256, as HMAC allows (RFC 2104, section 5); the id is 16 bytes.
_TAG_BYTES = 16
_TOKEN_BYTES = 16 + _TAG_BYTES
_PURPOSE = b"mailroom unsubscribe 1:"


def unsubscribe_url(base: str, message_id: str, *, key: bytes) -> str:
    """Return the one-click URL of a message below `base`, the https URL of our HTTP service."""
    return f"{base.rstrip('/')}{PATH}{sign(message_id, key=key)}"


def sign(message_id: str, *, key: bytes) -> str:
    """Return the token of a message.

    Raises:
        ValueError: the key is shorter than 16 bytes, or this is no message's id.
    """
    named = UUID(message_id).bytes
    return base64.urlsafe_b64encode(named + _tag(named, key)).decode().rstrip("=")


def verify(token: str, *, key: bytes) -> str | None:
    """Return the id of the message that this token was made for, or None. Takes as long for any wrong one."""
    try:
        given = base64.b64decode(token + "=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        given = b""
    named, tag = given[:16], given[16:]
    genuine = hmac.compare_digest(tag, _tag(named, key))
    # Base64 has several spellings of the same bytes; only ours is taken.
    return (
        str(UUID(bytes=named))
        if genuine and len(given) == _TOKEN_BYTES and sign(str(UUID(bytes=named)), key=key) == token
        else None
    )


def _tag(named: bytes, key: bytes) -> bytes:
    if len(key) < 16:
        raise ValueError("a key of at least 16 bytes is needed")
    return hmac.digest(key, _PURPOSE + named, hashlib.sha256)[:_TAG_BYTES]
