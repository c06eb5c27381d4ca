"""Two tenants with mails that wait in quarantine, and what processes these as the flow does, on PostgreSQL."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, text

from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.inbound.processing import SqlProcessings
from mailroom.adapters.postgres.inbound.replays import SqlReplays
from mailroom.adapters.postgres.inbound.sender_limit import SqlSenderLimit
from mailroom.adapters.postgres.inbox.filing import SqlInbox
from mailroom.adapters.postgres.models import DepositRow
from mailroom.adapters.postgres.tenants.addresses import SqlAddresses
from mailroom.domain.inbound.received_email import Arrival, Entry, Envelope, ObjectRef, State
from mailroom.domain.inbound.routing import Address
from mailroom.domain.inbound.verdicts import CHECKS, Verdict, Verdicts
from mailroom.inbound.replaying import Replayer
from mailroom.inbound.routing import decide_routing
from mailroom.ports.replays import Replay, ReplayOrder
from mailroom.testing.api import an_item
from mailroom.testing.runs import MemoryRuns
from tests.support.inboxes import save

NOW = datetime(2026, 11, 22, 3, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PASSED = dict.fromkeys(CHECKS, Verdict.PASS)
SPAM = Verdicts(**PASSED | {"spam": Verdict.FAIL})
INFECTED = Verdicts(**PASSED | {"virus": Verdict.FAIL})
CLEAN = Verdicts(**PASSED)
RAW = b"From: Carl <carl@sender.test>\r\nSubject: lease\r\n\r\nhello\r\n"


class Desk:
    """Tenants acme (files spam) and other (holds it back), their mails, and what processes these as the flow does."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.ledger, self.replays, self.runs = engine, SqlLedger(engine), SqlReplays(engine), MemoryRuns()
        self.book, self.inbox = SqlAddresses(engine), SqlInbox(engine)
        self.limit = SqlSenderLimit(engine, 2)
        self.replayer = Replayer(self.replays, self.ledger, self.runs, SqlProcessings(engine))
        self.adds("anna@acme.test", "acme")
        self.adds("@other.test", "other", "webhook")
        self.sets_policy("other", spam="quarantine")
        for tenant in ("acme", "other"):
            deposit = DepositRow(
                archive_id=f"{tenant}/raw",
                tenant=tenant,
                sha256="0" * 64,
                size=1,
                bucket="archive",
                key=tenant,
                version="v",
                lock_mode="GOVERNANCE",
                retain_until=NOW,
                deposited_at=NOW,
            )
            save(engine, deposit)

    def adds(self, pattern: str, tenant: str, processor: str = "inbox") -> None:
        self.book.add(Address(pattern, tenant, "u", processor))

    def sets_policy(self, tenant: str, **values: str) -> None:
        self.sql("update tenant set policy = cast(:policy as jsonb) where id = :id", policy=_json(values), id=tenant)

    def sql(self, statement: str, **values: Any) -> Any:
        with self.engine.begin() as connection:
            done = connection.execute(text(statement), values)
            return done.all() if done.returns_rows else None

    def receives(self, name: str, *recipients: str, verdicts: Verdicts = CLEAN, at: datetime = NOW) -> Entry:
        """Receive a mail and process it; return its entry."""
        envelope = Envelope(recipients, f"{name}@sender.test", at, verdicts)
        self.ledger.register(Arrival(ObjectRef("mails", f"in/{name}"), envelope), now=at)
        self.processes(name)
        return self.entry(name)

    def entry(self, name: str) -> Entry:
        entry = self.ledger.find(name)
        assert entry is not None
        return entry

    def processes(self, name: str, *, limited: bool = False) -> State:
        """Process a mail as its run does."""
        entry = self.ledger.begin(ObjectRef("mails", f"in/{name}"), now=NOW)
        if entry.state is State.FILED:
            return entry.state
        limit = self.limit if limited else None
        routing = decide_routing(entry, RAW, directory=self.book, ledger=self.ledger, now=NOW, sender_limit=limit)
        if routing.stop:
            return self.ledger.close(entry.id, State.QUARANTINED, now=NOW, reason=routing.stop)
        items = [
            an_item(
                tenant=to.tenant,
                recipient=to.recipient,
                raw_archive_id=f"{to.tenant}/raw",
                held=routing.held.get(to.tenant),
            )
            for to in routing.routes
        ]
        self.inbox.file(entry.id, items, now=NOW, attempt=entry.attempts)
        return self.ledger.close(entry.id, State.FILED, now=NOW)

    def shown(self, name: str) -> dict[str, str | None]:
        """Return the items of a mail: by recipient the reason for which it is not shown, None for one that is."""
        rows = self.sql(
            "select recipient, withdrawn_reason from inbox_item where email_id = :id", id=self.entry(name).id
        )
        return {row.recipient: row.withdrawn_reason for row in rows}

    def begins(self, tenant: str | None = None, **order: Any) -> Replay:
        return self.replays.begin(tenant, ReplayOrder(**order), by="olga", now=NOW)

    def works(self, *names: str, now: datetime = NOW) -> None:
        """Request what is due, process these mails, and settle."""
        while self.replayer.advance(now=now):
            pass
        for name in names:
            self.processes(name)
        self.replays.settle(now=now)

    def states(self, replay: Replay, tenant: str | None = None) -> dict[str, int]:
        found = self.replays.find(tenant, replay.id)
        assert found is not None
        return {state.value: count for state, count in found.states.items()}


def _json(values: dict[str, str]) -> str:
    inside = ", ".join(f'"{name}": "{value}"' for name, value in values.items())
    return "{" + inside + "}"
