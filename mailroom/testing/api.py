"""In-memory services for tests of the HTTP service, and for looking at its pages."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

from pydantic import SecretStr
from starlette.exceptions import StarletteDeprecationWarning

from mailroom.api.auth import key_digest
from mailroom.api.services import InboundHook, Services
from mailroom.domain.errors import TransientError
from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.inbound.received_email import Attachment, Entry, Item, ObjectRef, State, Verdict, Verdicts
from mailroom.domain.inbox.searching import words_asked, words_of
from mailroom.ports.api_keys import Holder
from mailroom.ports.archive import Deposit
from mailroom.ports.reader import Census, EmailLine, FiledItem, InboxLine, ItemLine, Page, Position, Tally
from mailroom.ports.runs import Run
from mailroom.settings import Settings

with warnings.catch_warnings():
    # Starlette's test client would rather have httpx2, which nothing else here needs.
    warnings.simplefilter("ignore", StarletteDeprecationWarning)
    from fastapi.testclient import TestClient as TestClient

NOW = datetime(2026, 3, 14, 9, 30, tzinfo=UTC)
#: What a browser asks for.
BROWSER = {"Accept": "text/html,application/xhtml+xml"}
#: A mail that all of SES's checks let pass.
PASSED = Verdicts(*[Verdict.PASS] * 5)
_Line = TypeVar("_Line", ItemLine, EmailLine)


@dataclass(slots=True)
class MemoryReader:
    """The port `Reader` over lists. `down` makes it fail as a database that is away."""

    addresses: list[InboxLine] = field(default_factory=list)
    filed: list[FiledItem] = field(default_factory=list)
    ledger: list[tuple[EmailLine, frozenset[str]]] = field(default_factory=list)
    down: bool = False

    def inboxes(self, tenant: str | None, *, limit: int) -> list[InboxLine]:
        """Return the addresses, those with the newest mail first."""
        lines = [self._counted(line) for line in self.addresses if tenant in (None, line.tenant)]
        oldest = datetime.min.replace(tzinfo=UTC)
        return sorted(lines, key=lambda line: line.newest or oldest, reverse=True)[:limit]

    def receives(self, tenant: str | None, address: str) -> bool:
        """Return whether `address` is among the addresses or has items."""
        patterns = {address, f"@{address.rpartition('@')[2]}"}
        listed = any(line.address in patterns and tenant in (None, line.tenant) for line in self.addresses)
        return listed or bool(self._of(tenant, address))

    def items(
        self, tenant: str | None, address: str, *, after: Position | None, limit: int, question: str = ""
    ) -> Page[ItemLine]:
        """Return items of `address` that hold every word of the question."""
        asked = set(words_asked(question).split())
        found = [_line(filed) for filed in self._of(tenant, address) if asked <= set(words_of(filed.item).split())]
        return _page(found, after, limit)

    def item(self, tenant: str | None, item_id: str) -> FiledItem | None:
        """Return one item."""
        found = [filed for filed in self.filed if filed.id == item_id and tenant in (None, filed.item.tenant)]
        if not found:
            return None
        return found[0] if tenant is None else replace(found[0], run_id=None)

    def attachment(self, tenant: str | None, item_id: str, number: int) -> Attachment | None:
        """Return what is listed of one attachment."""
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
    ) -> Page[EmailLine]:
        """Return lines of the ledger."""
        lines = [
            line
            for line in self._lines(tenant)
            if (not states or line.state in states)
            and (reason is None or InboundReason.same(reason, line.reason))
            and (since is None or line.received_at >= since)
        ]
        return _page(lines, after, limit)

    def email(self, tenant: str | None, email_id: str) -> EmailLine | None:
        """Return one line of the ledger."""
        return next((line for line in self._lines(tenant) if line.id == email_id), None)

    def census(self) -> Census:
        """Count everything."""
        groups: dict[tuple[State, str | None], list[datetime]] = {}
        for line, _ in self.ledger:
            groups.setdefault((line.state, line.reason), []).append(line.received_at)
        return Census(tuple(Tally(*key, len(times), min(times)) for key, times in groups.items()), len(self.filed))

    def ping(self) -> None:
        """Return unless `down`."""
        if self.down:
            raise TransientError("the database cannot be reached")

    def _of(self, tenant: str | None, address: str) -> list[FiledItem]:
        shown = [one for one in self.filed if one.withdrawn is None]
        return [one for one in shown if one.item.recipient == address and tenant in (None, one.item.tenant)]

    def _counted(self, line: InboxLine) -> InboxLine:
        times = [filed.received_at for filed in self._of(line.tenant, line.address)]
        return replace(line, items=len(times), newest=max(times, default=None))

    def _lines(self, tenant: str | None) -> Iterable[EmailLine]:
        for line, tenants in self.ledger:
            if tenant is None:
                yield line
            elif tenant in tenants:
                yield replace(line, run_id=None, facts={}, sender=None, recipients=())


@dataclass(slots=True)
class MemoryKeys:
    """The port `ApiKeys` over a dict from key to holder."""

    holders: dict[str, Holder] = field(default_factory=dict)

    def holder(self, sha256: str) -> Holder | None:
        """Return who holds the key with this digest."""
        return next((holder for key, holder in self.holders.items() if key_digest(key) == sha256), None)


@dataclass(slots=True)
class MemoryArchive:
    """The reading half of the port `Archive`; nothing is deposited over HTTP."""

    contents: dict[str, bytes] = field(default_factory=dict)

    def deposit(self, tenant: str, content: bytes) -> Deposit:
        """Refuse: the HTTP service never deposits."""
        raise NotImplementedError

    def find(self, archive_id: str) -> Deposit | None:
        """Refuse: receipts come with the item."""
        raise NotImplementedError

    def read(self, archive_id: str) -> bytes:
        """Return the content, or raise LookupError."""
        return self.contents[archive_id]


@dataclass(slots=True)
class MemoryRuns:
    """The port `RunStarter` that remembers what was asked of it."""

    known: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    down: bool = False

    def start(self, ref: ObjectRef) -> Run:
        """Return a new run."""
        self.asked.append(("start", ref.key))
        return Run(str(uuid4()), ref.message_id, "Scheduled", "http://127.0.0.1:4200/runs/flow-run/new")

    def retry(self, run_id: str) -> Run:
        """Return the run, scheduled, or raise LookupError."""
        if run_id not in self.known:
            raise LookupError("no such run")
        self.asked.append(("retry", run_id))
        return Run(run_id, "run", "AwaitingRetry", f"http://127.0.0.1:4200/runs/flow-run/{run_id}")

    def resume(self, run_id: str) -> bool:
        """Resume a run that is known."""
        self.asked.append(("resume", run_id))
        return run_id in self.known

    def find(self, run_id: str) -> Run | None:
        """Return None, unless `down`."""
        if self.down:
            raise TransientError("Prefect cannot be reached")
        return None

    def tasks(self, run_id: str) -> Any:
        """Return no tasks."""
        return iter(())


@dataclass(slots=True)
class MemoryBook:
    """The part of the ledger that the HTTP service reads."""

    reader: MemoryReader
    activities: list[dict[str, Any]] = field(default_factory=list)

    def find(self, any_id: str) -> Entry | None:
        """Return the line as the steps need it."""
        line = self.reader.email(None, any_id)
        if line is None:
            return None
        ref = ObjectRef("inbound", f"in/{line.message_id}", "1")
        return Entry(line.id, ref, line.state, None, line.attempts, line.run_id, line.reason, line.facts)

    def trace(self, email_id: str) -> dict[str, Any]:
        """Return the activities."""
        return {"activities": self.activities}


@dataclass(slots=True)
class Memory:
    """All services in memory, and ways to fill them."""

    reader: MemoryReader = field(default_factory=MemoryReader)
    archive: MemoryArchive = field(default_factory=MemoryArchive)
    runs: MemoryRuns = field(default_factory=MemoryRuns)
    keys: MemoryKeys = field(default_factory=MemoryKeys)
    activities: list[dict[str, Any]] = field(default_factory=list)

    def services(self, *, pages_open: bool = False, inbound_hook: InboundHook | None = None) -> Services:
        """Return them as the application takes them."""
        book = MemoryBook(self.reader, self.activities)
        return Services(
            settings=settings(pages_open=pages_open),
            reader=self.reader,
            archive=self.archive,
            runs=self.runs,
            ledger=book,
            keys=self.keys,
            now=lambda: NOW,
            inbound_hook=inbound_hook,
        )

    def file(self, item: Item, **changes: Any) -> FiledItem:
        """File an item with receipts for all it holds; `changes` are fields of FiledItem."""
        kept = [(item.raw_archive_id, 2048)] + [(part.archive_id, part.size) for part in item.attachments]
        values: dict[str, Any] = {
            "id": str(uuid4()),
            "email_id": str(uuid4()),
            "run_id": None,
            "item": item,
            "received_at": NOW,
            "filed_at": NOW,
            "verdicts": None,
            "deposits": {archive_id: receipt(archive_id, size) for archive_id, size in kept},
        }
        self.reader.filed.append(FiledItem(**values | changes))
        return self.reader.filed[-1]


def two_tenants() -> Memory:
    """Return one tenant with one empty inbox, and another tenant's."""
    memory = Memory()
    memory.keys.holders = {"admin": Holder("root"), "acme": Holder("app", "acme"), "other": Holder("app", "other")}
    memory.reader.addresses = [
        InboxLine("ann@acme.test", "acme", "ann", 0, None),
        InboxLine("bob@other.test", "other", "bob", 0, None),
    ]
    return memory


def an_item(**changes: object) -> Item:
    """Return an item of Ann's without attachments."""
    item = Item(
        "acme",
        "ann@acme.test",
        "ann",
        "<1@x>",
        "Hello",
        "Carl <c@x.test>",
        ("ann@acme.test",),
        (),
        NOW,
        "Hi",
        None,
        "acme/raw",
        (),
    )
    return replace(item, **changes)  # type: ignore[arg-type]


def receipt(archive_id: str, size: int) -> Deposit:
    """Return a receipt for `<tenant>/<sha256>`."""
    tenant, _, digest = archive_id.partition("/")
    until = NOW + timedelta(days=3650)
    return Deposit(archive_id, tenant, digest, size, "archive", archive_id, "v1", "GOVERNANCE", until, NOW)


def settings(*, pages_open: bool) -> Settings:
    """Return settings of an installation that is not there."""
    nowhere = "http://127.0.0.1:1"
    return Settings(
        region="eu-west-1",
        account_id="123456789012",
        inbound_bucket="inbound",
        inbound_queue_url=nowhere,
        inbound_topic_arn="arn",
        kms_key_arn="arn",
        archive_bucket="archive",
        mailbox_queue_url=nowhere,
        tracking_queue_url=nowhere,
        database_url=SecretStr("postgresql://nowhere"),
        prefect_api_url=f"{nowhere}/api",
        prefect_url="http://127.0.0.1:4200",
        api_url=nowhere,
        pages_open=pages_open,
    )


def _line(filed: FiledItem) -> ItemLine:
    item = filed.item
    return ItemLine(
        id=filed.id,
        email_id=filed.email_id,
        tenant=item.tenant,
        recipient=item.recipient,
        subject=item.subject,
        from_=item.from_,
        received_at=filed.received_at,
        attachments=sum(not part.inline for part in item.attachments),
        verdicts=filed.verdicts,
        sender_ambiguous=item.sender_ambiguous,
    )


def _page(lines: Iterable[_Line], after: Position | None, limit: int) -> Page[_Line]:
    ordered = sorted(lines, key=lambda line: (line.received_at, line.id), reverse=True)
    left = [line for line in ordered if after is None or (line.received_at, line.id) < (after.received_at, after.id)]
    last = left[limit - 1] if len(left) > limit else None
    return Page(tuple(left[:limit]), Position(last.received_at, last.id) if last else None)
