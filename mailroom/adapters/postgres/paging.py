"""Pages of a list, newest first: the rows after a position, and the position of the next page."""

from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, true, tuple_
from sqlalchemy.engine import Row

from mailroom.ports.inbox_reader import Page, Position

Line = TypeVar("Line")


def behind(position: Position | None, at: ColumnElement[Any], row_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition for rows after `position`, by time and id; None is the first page."""
    return true() if position is None else tuple_(at, row_id) < (position.received_at, UUID(position.id))


def page_of(rows: Sequence[Row[Any]], limit: int, lines: Sequence[Line], *, at: str) -> Page[Line]:
    """Return the page of `lines`; more than `limit` rows mean that there is a next page.

    Its position comes from the rows, because skipped rows have no line. `at` names the column of their time.
    """
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(tuple(lines), Position(getattr(last, at), str(last.id)) if last is not None else None)


def uuid_of(written: str) -> UUID | None:
    """Return the UUID that a caller wrote, or None when it is not one."""
    try:
        return UUID(written)
    except ValueError:
        return None
