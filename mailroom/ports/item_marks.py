"""Marks of items in their inboxes. Every call names a tenant, as those of `InboxReader`, and may raise `TransientError`.

The first who marks an item wins; a second one changes nothing and sees who was first. Withdrawn items are not marked.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mailroom.domain.inbox.marks import Mark, Marking


@dataclass(frozen=True, slots=True)
class Marked:
    """An item's marks after a call; `changed` is false if the call found it so."""

    read: Mark | None
    done: Mark | None
    changed: bool


@dataclass(frozen=True, slots=True)
class MarkLine:
    """One entry of an item's history."""

    at: datetime
    kind: Marking | str
    by: str


class ItemMarks(Protocol):
    """Marks items. `by` is the name of a person or a key; None is returned for no such item, and for a withdrawn one."""

    def open(self, tenant: str | None, item_id: str, *, by: str) -> Marked | None:
        """Record that an item was opened, if it was not before."""

    def done(self, tenant: str | None, item_id: str, *, by: str) -> Marked | None:
        """Record that an item is done; one that was never opened counts as read from then on."""

    def undo(self, tenant: str | None, item_id: str, *, by: str) -> Marked | None:
        """Record that an item is to do again; it stays read."""

    def history(self, tenant: str | None, item_id: str) -> list[MarkLine]:
        """Return the last 100 entries of an item's history, the oldest of them first; none for no such item."""
