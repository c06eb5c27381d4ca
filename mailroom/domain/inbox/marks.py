"""Marks of an item in its inbox: who opened it first, and who is done with it. All who see the inbox share them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Mark:
    """When an item was marked, and who did it: a person's or a key's name; None for mail from before there were marks."""

    at: datetime
    by: str | None


class Marking(StrEnum):
    """What happened to an item in its inbox."""

    READ = "read"
    DONE = "done"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class MarkFilter:
    """Which items a list has, by their marks; None is both kinds."""

    done: bool | None = None
    unread: bool | None = None

    def takes(self, *, read: Mark | None, done: Mark | None) -> bool:
        """Return whether a list with this filter has an item with these marks."""
        return self.done in (None, done is not None) and self.unread in (None, read is None)


EVERY_ITEM = MarkFilter()


class Show(StrEnum):
    """The tabs of an inbox page, in their order."""

    TODO = "todo"
    UNREAD = "unread"
    DONE = "done"
    ALL = "all"

    @property
    def words(self) -> str:
        """The tab's title."""
        return {Show.TODO: "To do", Show.UNREAD: "Unread", Show.DONE: "Done", Show.ALL: "All"}[self]

    @property
    def filter(self) -> MarkFilter:
        """Which items the tab has."""
        return {
            Show.TODO: MarkFilter(done=False),
            Show.UNREAD: MarkFilter(unread=True),
            Show.DONE: MarkFilter(done=True),
            Show.ALL: EVERY_ITEM,
        }[self]
