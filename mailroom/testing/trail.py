"""The port `Trail` in memory."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from mailroom.ports.inbox_reader import Page, Position
from mailroom.ports.trail import Entry, NewEntry


@dataclass(slots=True)
class MemoryTrail:
    """The port `Trail`."""

    written: list[Entry] = field(default_factory=list)

    def write(self, entry: NewEntry) -> None:
        """Write an entry."""
        values = (entry.what.value, entry.who, entry.tenant, entry.of, entry.person_id, entry.key_id)
        self.written.append(Entry(str(uuid4()), datetime.now(UTC), *values))

    def entries(
        self, tenant: str | None, *, person_id: str | None = None, after: Position | None, limit: int
    ) -> Page[Entry]:
        """Return entries, the newest first."""
        found = [one for one in self.written if tenant in (None, one.tenant) and person_id in (None, one.person_id)]
        found.sort(key=lambda one: (one.at, one.id), reverse=True)
        left = [one for one in found if after is None or (one.at, one.id) < (after.received_at, after.id)]
        last = left[limit - 1] if len(left) > limit else None
        return Page(tuple(left[:limit]), Position(last.at, last.id) if last else None)
