"""What the inbox pages and the HTTP API read, and whom they read it for.

Every question carries a tenant: a tenant's name sees that tenant's mail and nothing else, None is an administrator and
sees all. What another tenant has is answered exactly like what does not exist. Lists come newest first, in pages; a page
ends with the position from which the next one goes on, so mail that arrives meanwhile neither repeats nor hides a line.
Every call may raise `TransientError`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

from mailroom.domain.inbound.received_email import Attachment, Item, State, Verdicts
from mailroom.domain.inbound.trust import Scan
from mailroom.ports.archive import Deposit

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a list that is sorted by time and id, newest first."""

    received_at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list; `next` is None at its end."""

    lines: tuple[T, ...]
    next: Position | None = None


@dataclass(frozen=True, slots=True)
class InboxLine:
    """One address that receives. `address` is `@domain` where a whole domain does."""

    address: str
    tenant: str
    user: str
    items: int
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class ItemLine:
    """An item in a list. `attachments` leaves out inline pictures; `verdicts` is None where SES's were never told.

    `sender_ambiguous` where the mail's From names more than one address.
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


@dataclass(frozen=True, slots=True)
class FiledItem:
    """An item with everything that is shown of it; `deposits` has the receipts by archive id, the raw e-mail's too.

    `run_id` is None for a tenant.
    `damages` has what a later check found wrong with deposits, by archive id.
    `withdrawn` is why it is shown no longer, None for one that is; `scan` is None where no scanner was asked.
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


@dataclass(frozen=True, slots=True)
class EmailLine:
    """The ledger's line for an e-mail, as it is shown.

    `sender`, `recipients` and `facts` are empty for a tenant: one e-mail may be for several tenants, and none may learn of
    the others. So is `run_id`, which is the installation's own.
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


@dataclass(frozen=True, slots=True)
class EmailCount:
    """How many e-mails are in one state for one reason by one kind of route, and since when the oldest.

    A state may be a word that there is not: a row that older or newer code left, counted as it stands. `reason` is the word
    of up to 0.1.0, whichever of both a row has.
    """

    state: State | str
    reason: str | None
    emails: int
    oldest: datetime
    route: str | None = None


#: Seconds from the receipt of an e-mail to its inbox item, as the histogram counts them.
TIMES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)


@dataclass(frozen=True, slots=True)
class FilingTimes:
    """How many e-mails were filed within each of `TIMES_S`, those before not among them; the last is the rest."""

    counts: tuple[int, ...] = (0,) * (len(TIMES_S) + 1)
    sum_s: float = 0.0


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """One worker as it told of itself with its last beat."""

    name: str
    beat_at: datetime
    in_hand: int
    paused_by: str | None
    held_by: str | None = None


@dataclass(frozen=True, slots=True)
class Census:
    """What the whole installation holds; `unprocessed` is at how many mails each processor failed."""

    tallies: tuple[EmailCount, ...]
    items: int
    times: FilingTimes = FilingTimes()
    workers: tuple[WorkerLine, ...] = ()
    unprocessed: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


class InboxReader(Protocol):
    """The reading side of inboxes and ledger."""

    def inboxes(self, tenant: str | None, *, limit: int) -> list[InboxLine]:
        """Return the addresses that receive, those with the newest mail first, those without any last."""

    def receives(self, tenant: str | None, address: str) -> bool:
        """Return whether `address` (normalised) is an inbox of this tenant, by itself or through its domain."""

    def items(
        self, tenant: str | None, address: str, *, after: Position | None, limit: int, question: str = ""
    ) -> Page[ItemLine]:
        """Return items of `address` (normalised) but the withdrawn ones; with a question those that hold its words, the last one begun at least.

        A question is what people type: words, `"words in a row"`, `-not this`, `this or that`. None is wrong.
        """

    def item(self, tenant: str | None, item_id: str) -> FiledItem | None:
        """Return one item, a withdrawn one too; None for an unknown id, another tenant's, or what is no id at all."""

    def attachment(self, tenant: str | None, item_id: str, number: int) -> Attachment | None:
        """Return what is listed of one attachment; None as for `item`, and for one of a withdrawn item."""

    def emails(
        self,
        tenant: str | None,
        *,
        states: Sequence[State],
        reason: str | None,
        since: datetime | None,
        after: Position | None,
        limit: int,
    ) -> Page[EmailLine]:
        """Return lines of the ledger; no states means all. A tenant sees the e-mails that were routed to it."""

    def email(self, tenant: str | None, email_id: str) -> EmailLine | None:
        """Return one line of the ledger; None as for `item`."""

    def census(self) -> Census:
        """Count everything, for the metrics."""

    def ping(self) -> None:
        """Return if questions can be answered now; raise `TransientError` if not."""
