"""The ports `InboxReader` and `LedgerReader` in memory."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from mailroom.domain.api_keys import INBOX, may_read
from mailroom.domain.errors import TransientError
from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.inbound.received_email import Attachment, Entry, ObjectRef, State
from mailroom.domain.inbound.routing import is_starred, takes
from mailroom.domain.inbox.marks import EVERY_ITEM, MarkFilter
from mailroom.domain.inbox.search_fields import IndexedWords, indexed_words
from mailroom.domain.inbox.search_query import Search, SearchTerm, parse_search
from mailroom.domain.inbox.snippets import OF_TEXT, snippet
from mailroom.ports.inbox_reader import (
    MOST_COUNTED,
    MOST_NAMES,
    Beside,
    Census,
    EmailCount,
    EmailLine,
    FiledItem,
    InboxLine,
    ItemLine,
    Page,
    PartialLine,
    Position,
    UnreadCount,
    Window,
)

_Line = TypeVar("_Line", ItemLine, EmailLine)
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class MemoryInboxReader:
    """The port `InboxReader` over lists. `down` makes it fail like an unreachable database, `fault` by another error."""

    addresses: list[InboxLine] = field(default_factory=list)
    filed: list[FiledItem] = field(default_factory=list)
    ledger: list[tuple[EmailLine, frozenset[str]]] = field(default_factory=list)
    down: bool = False
    fault: Exception | None = None

    def inboxes(self, tenant: str | None, *, limit: int, only: Collection[str] | None = None) -> list[InboxLine]:
        """Return the addresses and the filled inboxes, by newest mail first."""
        self.ping()
        listed = {(line.tenant, line.address): line for line in self.addresses}
        for filed in self.filed:
            inbox = filed.item.tenant, filed.item.recipient
            if inbox not in listed and filed.withdrawn is None:
                listed[inbox] = InboxLine(inbox[1], inbox[0], filed.item.user, 0, None)
        lines = [self._counted(line) for line in listed.values() if tenant in (None, line.tenant)]
        if only is not None:
            scopes = [f"{INBOX}{pattern}" for pattern in only]
            lines = [line for line in lines if line.address in only or may_read(scopes, line.address)]
        lines.sort(key=lambda line: line.address)
        return sorted(lines, key=lambda line: line.newest or _NEVER, reverse=True)[:limit]

    def inbox_of(self, tenant: str | None, item_id: str) -> str | None:
        """Return the address whose inbox has the item."""
        filed = self.item(tenant, item_id)
        return filed.item.recipient if filed else None

    def receives(self, tenant: str | None, address: str) -> bool:
        """Return whether `address` is among the addresses or has items."""
        patterns = [line.address for line in self.addresses if tenant in (None, line.tenant)]
        domain = f"@{address.rpartition('@')[2]}"
        listed = any(
            takes(pattern, address) if is_starred(pattern) else pattern in (address, domain) for pattern in patterns
        )
        return listed or bool(self._of(tenant, address))

    def items(
        self,
        tenant: str | None,
        address: str,
        *,
        after: Position | None,
        limit: int,
        question: str = "",
        window: Window | None = None,
        marks: MarkFilter = EVERY_ITEM,
    ) -> Page[ItemLine]:
        """Return items of `address` that match the question."""
        lines = _lines_of(self._of(tenant, address), parse_search(question), marks)
        if window is None:
            return _page(lines, after, limit)
        listed = [replace(one, received_at=one.listed_at or one.received_at) for one in lines]
        page = _page([one for one in listed if window.since <= one.received_at < window.until], after, limit)
        times = {one.id: one.received_at for one in lines}
        return replace(page, lines=tuple(replace(one, received_at=times[one.id]) for one in page.lines))

    def mail(
        self,
        tenant: str | None,
        *,
        only: Collection[str] | None,
        after: Position | None,
        limit: int,
        question: str = "",
        marks: MarkFilter = EVERY_ITEM,
    ) -> Page[ItemLine]:
        """Return items of several inboxes that match the question."""
        return _page(_lines_of(self._in(tenant, only), parse_search(question), marks), after, limit)

    def beside(
        self,
        tenant: str | None,
        item_id: str,
        *,
        only: Collection[str] | None,
        question: str = "",
        marks: MarkFilter = EVERY_ITEM,
    ) -> Beside:
        """Return the items before and after the place of this one."""
        here, search = self.item(tenant, item_id), parse_search(question)
        if here is None:
            return Beside(None, None)
        at = here.received_at, here.id
        places = sorted((one.received_at, one.id) for one in _lines_of(self._in(tenant, only), search, marks))
        newer, older = [one for one in places if one > at], [one for one in places if one < at]
        return Beside(newer[0][1] if newer else None, older[-1][1] if older else None)

    def unread(self, tenant: str, *, only: Collection[str] | None, limit: int) -> list[UnreadCount]:
        """Return inboxes with the number of their unread items."""
        named = {one for one in only or () if not one.startswith("@") and not is_starred(one)}
        found = sorted(named | {filed.item.recipient for filed in self._in(tenant, only)})[:limit]
        unread = [filed.item.recipient for filed in self._in(tenant, only) if filed.read is None]
        return [UnreadCount(address, min(unread.count(address), MOST_COUNTED)) for address in found]

    def listed_until(self) -> datetime:
        """Return the present time: here nothing is filed halfway."""
        self.ping()
        return datetime.now(UTC)

    def item(self, tenant: str | None, item_id: str) -> FiledItem | None:
        """Return one item."""
        self.ping()
        filed_items = [filed for filed in self.filed if filed.id == item_id and tenant in (None, filed.item.tenant)]
        if not filed_items:
            return None
        filed = replace(filed_items[0], partials=self._partials(filed_items[0]))
        return filed if tenant is None else replace(filed, run_id=None, unrouted=None)

    def attachment(self, tenant: str | None, item_id: str, number: int) -> Attachment | None:
        """Return the description of one attachment."""
        filed = self.item(tenant, item_id)
        if filed is None or filed.withdrawn:
            return None
        return next((part for part in filed.item.attachments if part.number == number), None)

    def emails(
        self,
        tenant: str | None,
        *,
        states: Sequence[State],
        reason: str | None,
        since: datetime | None,
        after: Position | None,
        limit: int,
        until: datetime | None = None,
    ) -> Page[EmailLine]:
        """Return lines of the ledger."""
        lines = [
            line
            for line in self._lines(tenant)
            if (not states or line.state in states)
            and (reason is None or InboundReason.same(reason, line.reason))
            and (since is None or line.received_at >= since)
            and (until is None or line.received_at < until)
        ]
        return _page(lines, after, limit)

    def email(self, tenant: str | None, email_id: str) -> EmailLine | None:
        """Return one line of the ledger."""
        return next((line for line in self._lines(tenant) if line.id == email_id), None)

    def census(self) -> Census:
        """Return the counts."""
        self.ping()
        groups: dict[tuple[State, str | None], list[datetime]] = {}
        for line, _ in self.ledger:
            groups.setdefault((line.state, line.reason), []).append(line.received_at)
        ordered = sorted(groups.items(), key=lambda group: (group[0][0], group[0][1] or ""))
        return Census(tuple(EmailCount(*key, len(times), min(times)) for key, times in ordered), len(self.filed))

    def ping(self) -> None:
        """Return, unless `down` or `fault` makes it fail."""
        if self.fault is not None:
            raise self.fault
        if self.down:
            raise TransientError("the database cannot be reached")

    def _partials(self, filed: FiledItem) -> tuple[PartialLine, ...]:
        mine = filed.item
        others = [
            PartialLine(one.id, one.item.partial_number, one.item.partial_total)
            for one in self.filed
            if mine.partial_id and one.id != filed.id and one.withdrawn is None and one.item.partial_number
            and (one.item.tenant, one.item.recipient, one.item.partial_id) == (mine.tenant, mine.recipient, mine.partial_id)
        ]  # fmt: skip
        return tuple(sorted(others, key=lambda one: one.number)[:100])

    def _in(self, tenant: str | None, only: Collection[str] | None) -> list[FiledItem]:
        """Return the items of the inboxes that `only` names, by address or pattern."""
        self.ping()
        scopes = [f"{INBOX}{pattern}" for pattern in only or ()]
        mine = [one for one in self.filed if one.withdrawn is None and tenant in (None, one.item.tenant)]
        return [one for one in mine if only is None or may_read(scopes, one.item.recipient)]

    def _of(self, tenant: str | None, address: str) -> list[FiledItem]:
        self.ping()
        shown = [one for one in self.filed if one.withdrawn is None]
        return [one for one in shown if one.item.recipient == address and tenant in (None, one.item.tenant)]

    def _counted(self, line: InboxLine) -> InboxLine:
        times = [filed.received_at for filed in self._of(line.tenant, line.address)]
        return replace(line, items=len(times), newest=max(times, default=None))

    def _lines(self, tenant: str | None) -> Iterable[EmailLine]:
        self.ping()
        for line, tenants in self.ledger:
            if tenant is None:
                yield line
            elif tenant in tenants:
                yield replace(line, run_id=None, facts={}, sender=None, recipients=(), unrouted=None)


@dataclass(slots=True)
class MemoryLedgerReader:
    """The port `LedgerReader` over the ledger of a reader; every e-mail has the same `activities`."""

    reader: MemoryInboxReader
    activities: list[dict[str, Any]] = field(default_factory=list)

    def find(self, any_id: str) -> Entry | None:
        """Return the line by its own id, SES's message id, an item's id or a run's id."""
        filed = self.reader.item(None, any_id)
        wanted = filed.email_id if filed else any_id
        lines = [line for line, _ in self.reader.ledger]
        line = next((one for one in lines if wanted in (one.id, one.message_id, one.run_id)), None)
        if line is None:
            return None
        ref = ObjectRef("inbound", f"in/{line.message_id}", "1")
        return Entry(line.id, ref, line.state, None, line.attempts, line.run_id, line.reason, line.facts)

    def trace(self, email_id: str) -> dict[str, Any]:
        """Return the activities."""
        known = {line.id for line, _ in self.reader.ledger} | {filed.email_id for filed in self.reader.filed}
        if email_id not in known:
            raise LookupError("no such e-mail")
        return {"activities": self.activities}


def _matches(filed: FiledItem, search: Search) -> bool:
    """Return whether an item matches a search as PostgreSQL's `tsquery` does."""
    in_time = (search.after is None or filed.received_at >= search.after) and (
        search.before is None or filed.received_at < search.before
    )
    indexed = indexed_words(filed.item)
    found = any(all(_has(indexed, term) for term in way) for way in search.ways)
    return in_time and not search.finds_nothing and (found or not search.ways)


def _has(indexed: IndexedWords, term: SearchTerm) -> bool:
    """Return whether the words are next to each other, in the field of the term or in the text."""
    there = dict(enumerate(indexed.text) if term.field is None else indexed.fields[term.field])
    last = len(term.words) - 1
    found = any(
        all(_is(there.get(at + step), word, begun=term.begun and step == last) for step, word in enumerate(term.words))
        for at in there
    )
    return found is not term.negated


def _is(found: str | None, word: str, *, begun: bool) -> bool:
    return found is not None and (found.startswith(word) if begun else found == word)


def _lines_of(items: Iterable[FiledItem], search: Search, marks: MarkFilter) -> list[ItemLine]:
    found = [one for one in items if _matches(one, search)]
    return [_line(one) for one in found if marks.takes(read=one.read, done=one.done)]


def _line(filed: FiledItem) -> ItemLine:
    item = filed.item
    files = [part for part in item.attachments if not part.inline]
    return ItemLine(
        id=filed.id,
        email_id=filed.email_id,
        tenant=item.tenant,
        recipient=item.recipient,
        subject=item.subject,
        from_=item.from_,
        received_at=filed.received_at,
        attachments=len(files),
        verdicts=filed.verdicts,
        sender_ambiguous=item.sender_ambiguous,
        envelope_sender=filed.envelope_sender,
        listed_at=filed.filed_at,
        read=filed.read,
        done=filed.done,
        snippet=snippet((item.text or "")[:OF_TEXT], item.html),
        files=tuple(part.filename for part in files[:MOST_NAMES]),
    )


def _page(lines: Iterable[_Line], after: Position | None, limit: int) -> Page[_Line]:
    ordered = sorted(lines, key=lambda line: (line.received_at, line.id), reverse=True)
    left = [line for line in ordered if after is None or (line.received_at, line.id) < (after.received_at, after.id)]
    last = left[limit - 1] if len(left) > limit else None
    return Page(tuple(left[:limit]), Position(last.received_at, last.id) if last else None)
