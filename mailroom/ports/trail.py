"""The trail: who saw and did what. It has ids, names and times, never content or a subject. Nothing in it is changed or removed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mailroom.domain.trail import What
from mailroom.ports.inbox_reader import Page, Position


@dataclass(frozen=True, slots=True)
class NewEntry:
    """Something to write. `who` is a person's address, a key's name, or `cli`.

    `of` is an id, for a file followed by a slash and its number. `tenant` is whose thing that is; None: the trail finds it by the
    id where `what.about` says of what it is, else it is the installation's.
    """

    what: What
    who: str
    tenant: str | None = None
    of: str | None = None
    person_id: str | None = None
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the trail. `what` is a word of `mailroom.domain.trail`, or of a later release's."""

    id: str
    at: datetime
    what: str
    who: str
    tenant: str | None
    of: str | None
    person_id: str | None
    key_id: str | None


class Trail(Protocol):
    """Where it is written. Every call may raise `TransientError`."""

    def write(self, entry: NewEntry) -> None:
        """Write an entry, with the database's time; it is stored when this returns."""

    def entries(
        self, tenant: str | None, *, person_id: str | None = None, after: Position | None, limit: int
    ) -> Page[Entry]:
        """Return what was done to the things of a tenant, or everywhere (None), the newest first; by one person or by all."""
