"""Signed tokens of links in our mails: an invalid token gets the same response in all cases."""

from collections.abc import Callable
from typing import TypeVar

from fastapi import HTTPException

from mailroom.api.services import Services

Said = TypeVar("Said")


def verified(read: Callable[..., Said | None], services: Services, token: str, *, longest: int) -> Said:
    """Return what `read` finds in a token of at most `longest` characters.

    Raises:
        HTTPException: 404, the token is invalid.
    """
    key = services.settings.unsubscribe_key
    content = read(token, key=key.get_secret_value().encode()) if key and len(token) <= longest else None
    if content is None:
        raise HTTPException(404, "Link not found, or incomplete. Copy the whole link from the mail.")
    return content
