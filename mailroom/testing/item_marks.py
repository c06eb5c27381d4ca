"""The port `ItemMarks` in memory."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from mailroom.domain.inbox.marks import Mark, Marking
from mailroom.ports.inbox_reader import FiledItem
from mailroom.ports.item_marks import Marked, MarkLine
from mailroom.testing.inbox_reader import MemoryInboxReader


@dataclass(slots=True)
class MemoryItemMarks:
    """The port `ItemMarks` over the items of a reader."""

    reader: MemoryInboxReader
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    lines: list[tuple[str, MarkLine]] = field(default_factory=list)

    def open(self, tenant: str | None, item_id: str, *, by: str) -> Marked | None:
        """Record that an item was opened, if it was not before."""
        return self._marked(tenant, item_id, Marking.READ, by)

    def done(self, tenant: str | None, item_id: str, *, by: str) -> Marked | None:
        """Record that an item is done, and read."""
        return self._marked(tenant, item_id, Marking.DONE, by)

    def undo(self, tenant: str | None, item_id: str, *, by: str) -> Marked | None:
        """Record that an item is to do again."""
        return self._marked(tenant, item_id, Marking.UNDONE, by)

    def history(self, tenant: str | None, item_id: str) -> list[MarkLine]:
        """Return an item's history."""
        if self.reader.item(tenant, item_id) is None:
            return []
        return [line for of_item, line in self.lines if of_item == item_id][-100:]

    def _marked(self, tenant: str | None, item_id: str, kind: Marking, by: str) -> Marked | None:
        filed = self.reader.item(tenant, item_id)
        if filed is None or filed.withdrawn is not None:
            return None
        mark = Mark(self.now(), by)
        after = _after(filed, kind, mark)
        changed = (after.read, after.done) != (filed.read, filed.done)
        if changed:
            at = next(at for at, one in enumerate(self.reader.filed) if one.id == item_id)
            self.reader.filed[at] = replace(self.reader.filed[at], read=after.read, done=after.done)
            self.lines.append((item_id, MarkLine(mark.at, kind, by)))
        return Marked(after.read, after.done, changed)


def _after(filed: FiledItem, kind: Marking, mark: Mark) -> FiledItem:
    if kind is Marking.UNDONE:
        return replace(filed, done=None)
    done = filed.done or (mark if kind is Marking.DONE else None)
    return replace(
        filed, read=filed.read or mark if kind is Marking.READ or filed.done is None else filed.read, done=done
    )
