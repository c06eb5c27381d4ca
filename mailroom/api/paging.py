"""Cursors: a position in a list as an opaque word of a URL."""

import base64
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import HTTPException, Query

from mailroom.reading import Position

Cursor = Annotated[str | None, Query(max_length=200, description="What the page before gave as next")]
Limit = Annotated[int, Query(ge=1, le=200, description="Lines on a page")]


def encode(position: Position | None) -> str | None:
    """Return the cursor for `position`."""
    if position is None:
        return None
    return base64.urlsafe_b64encode(f"{position.received_at.isoformat()} {position.id}".encode()).decode().rstrip("=")


def decode(cursor: str | None) -> Position | None:
    """Return the position that `encode` was given.

    Raises:
        HTTPException: 422, it is no cursor of ours.
    """
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)).decode()
        time, _, name = text.partition(" ")
        received_at, name = datetime.fromisoformat(time), str(UUID(name))
    except ValueError:
        raise HTTPException(422, "The cursor is not one that this list gave.") from None
    if received_at.tzinfo is None:
        raise HTTPException(422, "The cursor is not one that this list gave.")
    return Position(received_at, name)
