"""The link by which a recipient leaves (RFC 8058): it names the message, and only we can have made it.

It says nobody's address and needs no table. Whoever has the mail can leave with it, which is what it is for.
"""

from uuid import UUID

from mailroom.domain.tokens import seal, unseal

PATH = "/u/"

#: What a content says in place of a URL where each message is to have our own link.
OURS = "ours"

_PURPOSE = b"mailroom unsubscribe 1:"


def unsubscribe_url(base: str, message_id: str, *, key: bytes) -> str:
    """Return the one-click URL of a message below `base`, the https URL of our HTTP service."""
    return f"{base.rstrip('/')}{PATH}{sign(message_id, key=key)}"


def sign(message_id: str, *, key: bytes) -> str:
    """Return the token of a message.

    Raises:
        ValueError: the key is shorter than 16 bytes, or this is no message's id.
    """
    return seal(UUID(message_id).bytes, purpose=_PURPOSE, key=key)


def verify(token: str, *, key: bytes) -> str | None:
    """Return the id of the message that this token was made for, or None."""
    named = unseal(token, purpose=_PURPOSE, key=key)
    return str(UUID(bytes=named)) if named is not None and len(named) == 16 else None
