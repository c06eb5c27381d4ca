"""A message sent by SMTP with its return path, and mail that arrives there, on a real database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.delivery.return_paths import SqlReturnPaths
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.tenants.directory import SqlDirectory, SqlTenants
from mailroom.domain.delivery.return_paths import return_path
from mailroom.domain.inbound.received_email import Arrival, Entry, Envelope, ObjectRef, State
from mailroom.domain.inbound.verdicts import Verdict, Verdicts
from mailroom.inbound.mail_reports import ReportReader, record_report
from mailroom.inbound.routing import RoutingDecision, decide_routing
from mailroom.ports.dispatch import Outcome
from mailroom.ports.provider import ProviderReceipt
from mailroom.testing.parser import MemoryParser
from mailroom.testing.scanner import MemoryScanner
from tests.support.mail_reports import filled
from tests.support.sending import office_on

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
DOMAIN = "bounces.mailroom.test"
GOOD = Verdicts(*[Verdict.PASS] * 5)


class Returned:
    """Messages to `u0@users.test`, ..., each with its return path, and the inbound side that reads reports."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.ledger, self.events = engine, SqlLedger(engine), SqlEvents(engine)
        self.directory, self.tenants = SqlDirectory(engine), SqlTenants(engine)
        self.paths = SqlReturnPaths(engine)
        self.scanner: MemoryScanner | None = None
        self.reports = ReportReader(DOMAIN, self.paths, MemoryParser())
        self._keys = count()

    def sends(self, messages: int = 1, *, at: datetime = NOW, **changes: Any) -> list[tuple[str, str]]:
        """Send messages, and return the id and the return path of each."""
        with office_on(self.engine) as office:
            batch_id = office.batch(messages, now=at, **changes)
        dispatch = SqlDispatch(self.engine)
        claims = dispatch.claim(batch_id, most=messages, provider="smtp", now=at)
        tokens = self.paths.issue([(claim.draft.id, claim.attempt) for claim in claims], now=at)
        outcomes = [
            Outcome(claim.draft.id, claim.attempt, ProviderReceipt("smtp", f"{claim.draft.id}@acme.test"))
            for claim in claims
        ]
        dispatch.settle(outcomes, now=at)
        paths = [return_path(token, DOMAIN) for token in tokens]
        return [(claim.draft.id, path) for claim, path in zip(claims, paths, strict=True)]

    def arrives(self, *recipients: str, sender: str = "", verdicts: Verdicts = GOOD, at: datetime = NOW) -> Entry:
        """Register a mail for these recipients."""
        ref = ObjectRef("inbound", f"in/{next(self._keys)}")
        self.ledger.register(Arrival(ref, Envelope(recipients, sender, at, verdicts)), now=at)
        return self.ledger.begin(ref, now=at)

    def decides(self, entry: Entry, raw: bytes) -> RoutingDecision:
        """Decide where a mail goes."""
        ports: dict[str, Any] = {"directory": self.directory, "ledger": self.ledger, "scanner": self.scanner}
        return decide_routing(entry, raw, now=NOW, reports=self.reports, **ports)

    def receives(
        self, sample: str, path: str, *, to: str = "u0@users.test", after: timedelta = timedelta(hours=1), **how: Any
    ) -> RoutingDecision:
        """Receive a report at this return path as `receive-email` does, and return the decision."""
        at = NOW + after
        entry = self.arrives(path, at=at, **how)
        routing = self.decides(entry, filled(sample, path=path, to=to))
        if routing.report is None or routing.stop:
            state, reason = (State.QUARANTINED, str(routing.stop)) if routing.stop else (State.FILED, None)
            self.ledger.close(entry.id, state, now=at, reason=reason)
            return routing
        facts = record_report(routing.report, events=self.events, now=at)
        self.ledger.close(entry.id, State.FILED, now=at, facts=facts)
        return replace(routing)

    def status(self, message_id: str) -> tuple[str, str | None]:
        """Return status and reason of a message."""
        [(status, reason)] = self.rows("select status, reason from message where id = :id", id=message_id)
        return status, reason

    def kinds(self, message_id: str) -> list[str]:
        """Return the kinds of a message's events, in order."""
        query = "select kind from activity where message_id = :id and event_id is not null order by id"
        return [kind for (kind,) in self.rows(query, id=message_id)]

    def suppressed(self) -> list[tuple[str, str, str]]:
        """Return tenant, address and cause of every suppression."""
        return [tuple(row) for row in self.rows("select tenant, address, reason from suppression order by address")]

    def rows(self, query: str, **values: Any) -> list[Any]:
        """Return the rows of a query."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(query), values).all())
