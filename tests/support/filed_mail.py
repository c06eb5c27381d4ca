"""A filed mail with its ledger rows, deposits and items, for tests of later steps."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, insert

from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.inbound.processing import SqlProcessings
from mailroom.adapters.postgres.inbox.filing import SqlInbox
from mailroom.adapters.postgres.models import DepositRow, table
from mailroom.adapters.postgres.tenants.directory import SqlDirectory
from mailroom.archive.depositing import DepositReceipts, deposit_all
from mailroom.domain.inbound.received_email import Arrival, Entry, Envelope, ObjectRef, State
from mailroom.domain.inbound.routing import Address, Route
from mailroom.domain.parsing import parse_email
from mailroom.inbound.filing import items_for
from mailroom.inbound.routing import RoutingDecision
from mailroom.ports.inbound import Inbound
from mailroom.testing.archive import MemoryArchive
from mailroom.testing.keys import MemoryDataKeys
from mailroom.testing.mail_store import MemoryMailStore
from mailroom.testing.manifests import MemoryManifests
from mailroom.testing.parser import MemoryParser
from mailroom.testing.queue import MemoryQueue

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
ANNA = Route("anna@acme.test", "acme", "anna", "exact", None, "digest")
BOB = Route("bob@other.test", "other", "bob", "plus", "x1", "webhook")
CARLA = Route("carla@other.test", "other", "carla", "exact")
WAY = RoutingDecision((ANNA, BOB, CARLA), ("acme", "other"))
RAW = b"""From: Carl <carl@sender.test>\r
To: anna@acme.test\r
Subject: the lease\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=b\r
\r
--b\r
Content-Type: application/pdf; name=lease.pdf\r
Content-Disposition: attachment; filename=lease.pdf\r
\r
%PDF-1.7 lease\r
--b--\r
"""


def inbound_on(engine: Engine, **changes: Any) -> Inbound:
    """Return the ports of inbound mail: a real database, the rest in memory."""
    parts: dict[str, Any] = {
        "mails": MemoryMailStore(),
        "keys": MemoryDataKeys(),
        "archive": MemoryArchive(),
        "manifests": MemoryManifests(),
        "ledger": SqlLedger(engine),
        "directory": SqlDirectory(engine),
        "inbox": SqlInbox(engine),
        "parser": MemoryParser(),
        "queue": MemoryQueue(),
        "processings": SqlProcessings(engine),
        "bucket": "inbound",
        "prefixes": ("in/",),
        "account_id": "123456789012",
    }
    return Inbound(**parts | changes)


class Filed:
    """A filed mail for two tenants, with the ports that hold its data."""

    def __init__(self, engine: Engine) -> None:
        self.inbound = inbound_on(engine)
        self.ledger, self.archive = self.inbound.ledger, self.inbound.archive
        for to in WAY.routes:
            SqlDirectory(engine).add(Address(to.recipient, to.tenant, to.user, to.processor))
        arrival = Arrival(ObjectRef("inbound", "in/abc"), Envelope((ANNA.recipient,), "carl@sender.test", NOW))
        self.entry = self._registered(arrival)
        # The decision of an earlier attempt does not count.
        self.ledger.routed(self.entry.id, [ANNA], now=NOW)
        self.ledger.routed(self.entry.id, WAY.routes, now=NOW)
        self.kept = self._deposited(engine)
        items = items_for(parse_email(RAW), RAW, WAY, self.kept)
        self.items = SqlInbox(engine).file(self.entry.id, items, now=NOW)
        self.ledger.close(self.entry.id, State.FILED, now=NOW)

    def _registered(self, arrival: Arrival) -> Entry:
        entry = self.ledger.register(arrival, now=NOW)
        assert entry is not None
        return entry

    def _deposited(self, engine: Engine) -> DepositReceipts:
        contents = [RAW, *(part.content for part in parse_email(RAW).attachments)]
        kept = deposit_all(self.entry, WAY.tenants, contents, archive=self.archive, ledger=self.ledger, now=NOW)
        rows = [asdict(receipt) | {"deposited_at": NOW} for receipt in kept.values()]
        with engine.begin() as connection:
            connection.execute(insert(table(DepositRow)), rows)
        return kept
