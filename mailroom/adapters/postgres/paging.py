"""Pages of a list, newest first: what lies behind a position, and where the next page goes on."""

from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, true, tuple_
from sqlalchemy.engine import Row

from mailroom.ports.inbox_reader import Page, Position

Line = TypeVar("Line")


def behind(position: Position | None, at: ColumnElement[Any], row_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition for rows behind `position`, by their time and id; None is the beginning."""
    return true() if position is None else tuple_(at, row_id) < (position.received_at, UUID(position.id))


def page_of(rows: Sequence[Row[Any]], limit: int, lines: Sequence[Line], *, at: str) -> Page[Line]:
    """Return the lines of the first `limit` of the rows, of which there is one more where there is a next page.

    The next page goes on by the rows, for of some there may be no line. `at` names the column of their time.
    """
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(tuple(lines), Position(getattr(last, at), str(last.id)) if last is not None else None)


def uuid_of(written: str) -> UUID | None:
    """Return the id that a caller wrote; None where it is none, which is nobody's."""
    try:
        return UUID(written)
    except ValueError:
        return None
