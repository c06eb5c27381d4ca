"""Cursors: a position in a list as an opaque token in a URL."""

import base64
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import HTTPException, Query

from mailroom.ports.inbox_reader import Position, Window

Cursor = Annotated[str | None, Query(max_length=600, description="`next` of the previous page")]
Limit = Annotated[int, Query(ge=1, le=200, description="Entries on a page")]


#: Address, tenant, scope.
_PLACE = 3


def encode(position: Position | None) -> str | None:
    """Return the cursor for `position`."""
    return None if position is None else _word(f"{position.received_at.isoformat()} {position.id}")


def decode(cursor: str | None) -> Position | None:
    """Return the position that `encode` was given.

    Raises:
        HTTPException: 422, the cursor is invalid.
    """
    if cursor is None:
        return None
    time, _, name = _text(cursor).partition(" ")
    try:
        received_at, name = datetime.fromisoformat(time), str(UUID(name))
        if received_at.tzinfo is None:
            raise _not_ours()
        return Position(received_at.astimezone(UTC), name)
    except (ValueError, OverflowError):
        raise _not_ours() from None


def encode_in_window(position: Position | None, window: Window | None) -> str | None:
    """Return the cursor for `position`; with a window it carries the window's end, so that all pages are of one window."""
    if position is None or window is None:
        return encode(position)
    return _word(f"{position.received_at.isoformat()} {position.id} {window.until.isoformat()}")


def decode_in_window(cursor: str | None, since: datetime | None) -> tuple[Position | None, datetime | None]:
    """Return the position and the window's end that `encode_in_window` was given.

    Raises:
        HTTPException: 422, the cursor is invalid, or is of a list with `since` and used without, or the reverse.
    """
    if cursor is None:
        return None, None
    position, _, until = _text(cursor).rpartition(" ")
    if (" " in position) is (since is None):
        raise HTTPException(
            422, "This cursor belongs to another list; repeat the parameter since as on its first page."
        )
    if since is None:
        return decode(cursor), None
    at = decode(_word(position))
    try:
        end = datetime.fromisoformat(until)
        if end.tzinfo is None:
            raise _not_ours()
        return at, end.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _not_ours() from None


def encode_place(place: tuple[str, str, str]) -> str:
    """Return the cursor for a place in a list by address, tenant and scope; only an address may contain a tab."""
    return _word("\t".join(place))


def decode_place(cursor: str | None) -> tuple[str, ...] | None:
    """Return the place that `encode_place` was given; a cursor of an earlier release names address and tenant only.

    Raises:
        HTTPException: 422, the cursor is invalid.
    """
    if cursor is None:
        return None
    text = _text(cursor)
    if len(place := tuple(text.rsplit("\t", _PLACE - 1))) == _PLACE:
        return place
    address, space, tenant = text.rpartition(" ")
    if not space:
        raise _not_ours()
    return address, tenant


def _word(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _text(cursor: str) -> str:
    try:
        text = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)).decode()
    except ValueError:
        raise _not_ours() from None
    if "\x00" in text:
        raise _not_ours()
    return text


def _not_ours() -> HTTPException:
    return HTTPException(422, "Invalid cursor; use `next` of the previous page.")
