"""In-memory services for tests of the HTTP service, and for viewing its pages."""

import warnings
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from pydantic import SecretStr
from starlette.exceptions import StarletteDeprecationWarning

from mailroom.api.services import InboundHook, PeopleServices, Services
from mailroom.archive.access import JournalledArchive, Reader
from mailroom.domain.inbound.received_email import Item
from mailroom.domain.inbound.verdicts import CHECKS, Verdict, Verdicts
from mailroom.domain.parsing import parse_member
from mailroom.ports.api_keys import Holder
from mailroom.ports.archive import Deposit
from mailroom.ports.inbox_reader import FiledItem, InboxLine
from mailroom.settings import Settings
from mailroom.testing.addresses import MemoryAddresses
from mailroom.testing.api_keys import MemoryKeys
from mailroom.testing.archive import MemoryArchive
from mailroom.testing.inbox_reader import MemoryInboxReader, MemoryLedgerReader
from mailroom.testing.item_marks import MemoryItemMarks
from mailroom.testing.journal import MemoryJournal
from mailroom.testing.parser import MemoryParser
from mailroom.testing.people import MemoryPeople, MemorySessions, MemorySignInLinks
from mailroom.testing.previewer import MemoryPreviewer
from mailroom.testing.runs import MemoryRuns
from mailroom.testing.trail import MemoryTrail

with warnings.catch_warnings():
    # Starlette's test client prefers httpx2, which nothing else here needs.
    warnings.simplefilter("ignore", StarletteDeprecationWarning)
    from fastapi.testclient import TestClient as TestClient

NOW = datetime(2026, 3, 14, 9, 30, tzinfo=UTC)
#: The Accept header of a browser.
BROWSER = {"Accept": "text/html,application/xhtml+xml"}
#: Verdicts of a mail that passes all of SES's checks.
PASSED = Verdicts(**dict.fromkeys(CHECKS, Verdict.PASS))


@dataclass(slots=True)
class Memory:
    """All services in memory, with methods to fill them."""

    reader: MemoryInboxReader = field(default_factory=MemoryInboxReader)
    archive: MemoryArchive = field(default_factory=MemoryArchive)
    runs: MemoryRuns = field(default_factory=MemoryRuns)
    keys: MemoryKeys = field(default_factory=MemoryKeys)
    addresses: MemoryAddresses = field(default_factory=MemoryAddresses)
    activities: list[dict[str, Any]] = field(default_factory=list)
    people: MemoryPeople = field(init=False)
    links: MemorySignInLinks = field(init=False)
    sessions: MemorySessions = field(init=False)
    trail: MemoryTrail = field(default_factory=MemoryTrail)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    marks: MemoryItemMarks = field(init=False)

    def __post_init__(self) -> None:
        """Build what works on the people and on the items."""
        self.people, self.keys.trail = MemoryPeople(trail=self.trail), self.trail
        self.links = MemorySignInLinks(self.people)
        self.sessions = MemorySessions(self.people, self.links)
        self.marks = MemoryItemMarks(self.reader)

    def services(self, *, inbound_hook: InboundHook | None = None) -> Services:
        """Return them as the application's services."""
        book = MemoryLedgerReader(self.reader, self.activities)
        return Services(
            settings=settings(),
            reader=self.reader,
            marks=self.marks,
            archive=JournalledArchive(self.archive, self.journal, Reader("operator", "command")),
            runs=self.runs,
            ledger=book,
            keys=self.keys,
            people=PeopleServices(self.people, self.sessions, self.links),
            trail=self.trail,
            journal=self.journal,
            addresses=self.addresses,
            opener=MemoryParser(parse_member),
            previewer=MemoryPreviewer(),
            now=lambda: NOW,
            inbound_hook=inbound_hook,
        )

    def file(self, item: Item, **changes: Any) -> FiledItem:
        """File an item with receipts for all of its content; `changes` are fields of FiledItem."""
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


def settings() -> Settings:
    """Return settings of an installation that does not exist."""
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
    )
