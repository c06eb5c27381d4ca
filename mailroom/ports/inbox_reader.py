"""Read access to inboxes and the ledger, for the inbox pages and the HTTP API.

Every query names a tenant: with a name it returns only that tenant's mail, with None (an administrator) all. Another
tenant's data and data that does not exist give the same result. Lists are newest first, in pages; each page ends with the
position at which the next begins, so mail that arrives meanwhile neither repeats nor hides a line.
Every call may raise `TransientError`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

from mailroom.domain.inbound.filing_policy import Scan
from mailroom.domain.inbound.received_email import Attachment, Item, State
from mailroom.domain.inbound.routing import candidates
from mailroom.domain.inbound.verdicts import Verdicts
from mailroom.domain.inbox.marks import EVERY_ITEM, Mark, MarkFilter
from mailroom.ports.archive import Deposit

T = TypeVar("T")

#: The names of files that a line has, and how far unread items are counted.
MOST_NAMES, MOST_COUNTED = 3, 100


@dataclass(frozen=True, slots=True)
class Position:
    """A position in a list that is sorted by time and id, newest first."""

    received_at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page of a list; `next` is None on the last page."""

    lines: tuple[T, ...]
    next: Position | None = None


class _Receives(Protocol):
    def receives(self, tenant: str | None, address: str) -> bool: ...


def arrives_here(reader: _Receives, address: str) -> bool:
    """Return whether mail to a normalised address lies in an inbox here, of whichever tenant, also without its token."""
    spellings = (one for one in candidates(address) if not one.startswith("@"))
    return any(reader.receives(None, one) for one in spellings)


@dataclass(frozen=True, slots=True)
class Window:
    """The items that were put into an inbox from `since` on and before `until`, by the database's clock."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class InboxLine:
    """One receiving address; `address` is `@domain` where it is a whole domain."""

    address: str
    tenant: str
    user: str
    items: int
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class ItemLine:
    """An item in a list. `attachments` leaves out inline pictures; `verdicts` is None where SES reported none.

    `sender_ambiguous` is true where the mail's From has more than one address. `envelope_sender` is that of a mail without
    From, "" for a bounce; else None. `listed_at` is when it was put into the inbox: filed, or released after it was held or
    withdrawn. `snippet` is the beginning of the letter; `files` are the names of the first attachments, at most `MOST_NAMES`.
    """

    id: str
    email_id: str
    tenant: str
    recipient: str
    subject: str | None
    from_: str | None
    received_at: datetime
    attachments: int
    verdicts: Verdicts | None
    sender_ambiguous: bool = False
    envelope_sender: str | None = None
    listed_at: datetime | None = None
    read: Mark | None = None
    done: Mark | None = None
    snippet: str = ""
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UnreadCount:
    """An inbox and how many of its items are unread, `MOST_COUNTED` for that many or more."""

    address: str
    unread: int


@dataclass(frozen=True, slots=True)
class Beside:
    """The items before and after one in a list: their ids, None at its ends."""

    newer: str | None
    older: str | None


@dataclass(frozen=True, slots=True)
class PartialLine:
    """Another part of a split mail in the same inbox."""

    id: str
    number: int
    total: int | None


@dataclass(frozen=True, slots=True)
class FiledItem:
    """An item with all its details; `deposits` are the receipts by archive id, the raw e-mail's included.

    `run_id` is None for a tenant. `damages` are the problems that later checks found with deposits, by archive id.
    `withdrawn` is the reason why a withdrawn item is not shown, otherwise None; `scan` is None where no scanner was used.
    `envelope_sender` is that of a mail without From, "" for a bounce; else None.
    `unrouted` are the e-mail's recipients without a route here; None for a tenant, and where that is not known.
    """

    id: str
    email_id: str
    run_id: str | None
    item: Item
    received_at: datetime
    filed_at: datetime
    verdicts: Verdicts | None
    deposits: Mapping[str, Deposit]
    scan: Scan | None = None
    withdrawn: str | None = None
    damages: Mapping[str, str] = field(default_factory=dict)
    envelope_sender: str | None = None
    unrouted: tuple[str, ...] | None = None
    partials: tuple[PartialLine, ...] = ()
    """The other parts of a split mail that this inbox has, at most 100, by their numbers."""
    read: Mark | None = None
    """Who opened it first; None is unread."""
    done: Mark | None = None
    """Who is done with it; None is still to do."""

    @property
    def parts_of_split(self) -> int | None:
        """How many parts the split mail has, by this part or another; None where none of them says it."""
        total = self.item.partial_total or max((one.total or 0 for one in self.partials), default=0)
        return total if total and total >= (self.item.partial_number or 0) else None


@dataclass(frozen=True, slots=True)
class EmailLine:
    """The ledger's line for an e-mail, as users see it.

    `sender`, `recipients`, `unrouted`, `facts` and `run_id` are empty for a tenant: one e-mail may be for several tenants,
    which must not learn of each other, and runs are internal to the installation. `unrouted` are the recipients without a
    route beside others that have one; None where that is not known.
    """

    id: str
    message_id: str
    state: State
    reason: str | None
    attempts: int
    run_id: str | None
    received_at: datetime
    closed_at: datetime | None
    facts: Mapping[str, object] = field(default_factory=dict)
    sender: str | None = None
    recipients: tuple[str, ...] = ()
    unrouted: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class EmailCount:
    """The number of e-mails in one state, by reason and kind of route, and the time of the oldest.

    `state` is a plain string where this version does not know it: older or newer code wrote the row. `reason` is the word
    of up to 0.1.0, whichever of both a row has.
    """

    state: State | str
    reason: str | None
    emails: int
    oldest: datetime
    route: str | None = None


#: Buckets of the histogram of seconds from receipt of an e-mail to its inbox item.
TIMES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)


@dataclass(frozen=True, slots=True)
class FilingTimes:
    """The number of e-mails filed within each bucket of `TIMES_S`, not cumulative; the last count is the rest."""

    counts: tuple[int, ...] = (0,) * (len(TIMES_S) + 1)
    sum_s: float = 0.0


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """One worker, as of its last heartbeat."""

    name: str
    beat_at: datetime
    in_hand: int
    paused_by: str | None
    held_by: str | None = None


@dataclass(frozen=True, slots=True)
class Census:
    """Counts of the whole installation; `unprocessed` is the number of mails at which each processor failed.

    `other_notices` are the acknowledged messages of the inbound queue that announced no e-mail, by kind.
    """

    tallies: tuple[EmailCount, ...]
    items: int
    times: FilingTimes = FilingTimes()
    workers: tuple[WorkerLine, ...] = ()
    unprocessed: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    other_notices: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


class InboxReader(Protocol):
    """Reads inboxes, items and the ledger."""

    def inboxes(self, tenant: str | None, *, limit: int, only: Collection[str] | None = None) -> list[InboxLine]:
        """Return the receiving addresses, by newest mail first; those without mail last.

        `only` are the addresses, patterns and `@domain`s of the inboxes to return; None is all of them.
        """

    def inbox_of(self, tenant: str | None, item_id: str) -> str | None:
        """Return the address whose inbox has the item, withdrawn or not; None as for `item`."""

    def receives(self, tenant: str | None, address: str) -> bool:
        """Return whether `address` (normalised) is an inbox of this tenant, as an address or through its domain."""

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
        """Return items of `address` (normalised) that are not withdrawn; with `question`, those that match it.

        `question` is a search as people type it (`mailroom.domain.inbox.search_query`). The last word matches as a prefix.
        With `window` the items are those of it, sorted by `listed_at`; positions are then in that order.

        Raises:
            UnreadableSearch: a date in `question` cannot be read.
        """

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
        """Return items of several inboxes in one list, as `items` does of one; `only` as for `inboxes`.

        Raises:
            UnreadableSearch: a date in `question` cannot be read.
        """

    def beside(
        self,
        tenant: str | None,
        item_id: str,
        *,
        only: Collection[str] | None,
        question: str = "",
        marks: MarkFilter = EVERY_ITEM,
    ) -> Beside:
        """Return the items before and after the place of this one in the list `mail`, whether the list has it or not.

        Raises:
            UnreadableSearch: a date in `question` cannot be read.
        """

    def unread(self, tenant: str, *, only: Collection[str] | None, limit: int) -> list[UnreadCount]:
        """Return at most `limit` inboxes by address: those that have items, and those that `only` names; `only` as above."""

    def listed_until(self) -> datetime:
        """Return a time before which no item will be put into an inbox any more: windows that end there are complete."""

    def item(self, tenant: str | None, item_id: str) -> FiledItem | None:
        """Return one item, withdrawn or not; None for an unknown id, another tenant's, or a malformed id."""

    def attachment(self, tenant: str | None, item_id: str, number: int) -> Attachment | None:
        """Return the description of one attachment; None as for `item`, and for one of a withdrawn item."""

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
        """Return lines of the ledger; empty `states` means all. A tenant sees the e-mails that were routed to it.

        They were received at `since` or later, and before `until`.
        """

    def email(self, tenant: str | None, email_id: str) -> EmailLine | None:
        """Return one line of the ledger; None as for `item`."""

    def census(self) -> Census:
        """Return the counts for the metrics."""

    def ping(self) -> None:
        """Return if queries work now; raise `TransientError` if not."""
