"""One-click unsubscribe links (RFC 8058): each holds the message id under our signature.

A link contains no address and needs no table. Anyone who has the mail can unsubscribe its recipient with it, by design.
"""

from uuid import UUID

from mailroom.domain.tokens import seal, unseal

PATH = "/u/"

#: Value of a content's `unsubscribe` that asks for our own link in each message.
OURS = "ours"

_PURPOSE = b"mailroom unsubscribe 1:"


def unsubscribe_url(base: str, message_id: str, *, key: bytes) -> str:
    """Return the one-click URL of a message below `base`, the https URL of the HTTP service."""
    return f"{base.rstrip('/')}{PATH}{sign(message_id, key=key)}"


def sign(message_id: str, *, key: bytes) -> str:
    """Return the token of a message.

    Raises:
        ValueError: the key is shorter than 16 bytes, or `message_id` is not a UUID.
    """
    return seal(UUID(message_id).bytes, purpose=_PURPOSE, key=key)


def verify(token: str, *, key: bytes) -> str | None:
    """Return the message id in a token, or None if the token is not valid."""
    named = unseal(token, purpose=_PURPOSE, key=key)
    return str(UUID(bytes=named)) if named is not None and len(named) == 16 else None
