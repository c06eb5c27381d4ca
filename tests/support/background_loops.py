"""An installation with something of every kind in every table, every list and page of it, and every loop over all tenants."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import psycopg
from fastapi.routing import APIRoute
from pydantic import SecretStr
from sqlalchemy import BigInteger, DateTime, Engine, Integer, insert, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel

from mailroom.adapters.postgres.delivery.endpoints import SqlEndpoints
from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.delivery.hooks import SqlHooks
from mailroom.adapters.postgres.delivery.suppressions import SqlSuppressions
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.inbound.processing import SqlProcessings
from mailroom.adapters.postgres.inbound.replays import SqlReplays
from mailroom.adapters.postgres.inbox.inbox_reader import SqlInboxReader
from mailroom.adapters.postgres.models import ReconciliationRow, WorkerRow, table
from mailroom.adapters.postgres.operations.monitoring import SqlMonitoring, SqlReconciliations
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.models import BreakerRow
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.postgres.outbound.retention import forget_outbound
from mailroom.api.app import create_app
from mailroom.api.services import OutboundServices
from mailroom.audit.mails import Patience
from mailroom.audit.messages import check_messages
from mailroom.audit.report import Report
from mailroom.audit.rows import check_rows, saturate_times
from mailroom.delivery.tenant_webhooks import notify
from mailroom.delivery.tracking import Tracking
from mailroom.domain.delivery.events import Kind
from mailroom.domain.inbound.received_email import Arrival, Envelope, ObjectRef
from mailroom.inbound.replaying import Replayer
from mailroom.inbound.sweeping import silent
from mailroom.outbound.outbox_relay import relay
from mailroom.outbound.unknown_outcomes import settle_unknown
from mailroom.ports.dispatch import Outcome
from mailroom.ports.hooks import Hook
from mailroom.ports.provider import ProviderReceipt
from mailroom.testing.api import NOW, Memory, TestClient
from mailroom.testing.notices import an_event
from mailroom.testing.queue import MemoryQueue
from mailroom.testing.webhooks import MemoryWebhooks
from tests.support.batch_requests import ACME, ADMIN, HOLDERS, PORTS, UMBRELLA, batch, submitted
from tests.support.filed_mail import Filed
from tests.support.sending import office_on
from tests.support.tampering import tampering

LATER = NOW + timedelta(hours=1)
#: Tables that identify the database: a wrong number there stops every process, on purpose.
OF_ALL = ("installation", "schema_serves")
_IDS = re.compile(r"\{(\w+)(:\w+)?\}")


@dataclass
class Installation:
    """The service on a database, with rows of acme's in every table."""

    engine: Engine
    database_url: str
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    ids: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        memory = Memory()
        memory.keys.holders.update(HOLDERS)
        services = memory.services()
        self.services = replace(
            services,
            reader=SqlInboxReader(self.engine),
            ledger=SqlLedger(self.engine),
            sending=OutboundServices(*(port(self.engine) for port in PORTS)),
            events=SqlEvents(self.engine),
            watch=SqlMonitoring(self.engine),
            endpoints=SqlEndpoints(self.engine),
            replayer=Replayer(
                SqlReplays(self.engine), SqlLedger(self.engine), memory.runs, SqlProcessings(self.engine)
            ),
            settings=services.settings.model_copy(update={"unsubscribe_key": SecretStr("a key of some length")}),
        )
        self.app = create_app(self.services)
        self.client = TestClient(self.app, base_url="http://mail.example", follow_redirects=False)

    def fill(self) -> None:
        """Put something of acme's into every table that is listed, swept, relayed or posted to webhooks."""
        api = TestClient(self.app, base_url="http://mail.example", headers=ACME)
        webhook = api.post("/v1/webhooks", json={"url": "https://acme.test/", "events": ["accepted"]}).json()["id"]
        waiting = submitted(api, batch(metadata={"campaign": "spring"}))["id"]
        gone = submitted(api, batch(expires_at="2026-12-01T00:00:00Z"), **{"Idempotency-Key": "one"})["id"]
        dispatch = SqlDispatch(self.engine)
        [claimed] = dispatch.claim(gone, most=1, provider="ses", now=NOW)
        dispatch.settle([Outcome(claimed.draft.id, claimed.attempt, ProviderReceipt("ses", "known"))], now=NOW)
        api.post("/v1/suppressions", json={"addresses": ["bob@users.test"], "expires_at": "2026-12-01T00:00:00Z"})
        events = SqlEvents(self.engine)
        delivered = an_event(Kind.DELIVERED, message_id=claimed.draft.id, provider_message_id="known")
        events.record([delivered, an_event(Kind.OPENED, "parked", provider_message_id="unknown")], now=NOW)
        SqlHooks(self.engine).store([Hook("postmark", "1", b"garbage")], now=NOW)
        filed = Filed(self.engine)
        silent_one = Arrival(ObjectRef("inbound", "in/open"), Envelope(("anna@acme.test",), "carl@sender.test", NOW))
        SqlLedger(self.engine).register(silent_one, now=NOW)
        self._insert_what_no_door_makes(waiting)
        message = api.get(f"/v1/messages?batch={gone}").json()["items"][0]["id"]
        self.ids = {
            "batch_id": waiting, "message_id": message, "webhook_id": webhook, "address": "anna@acme.test",
            "email_id": filed.entry.id, "item_id": self._one("select id from inbox_item where tenant = 'acme'"),
        }  # fmt: skip

    def fill_umbrella(self) -> str:
        """Submit a batch of another tenant, and return its id."""
        api = TestClient(self.app, base_url="http://mail.example", headers=UMBRELLA)
        return str(submitted(api, batch())["id"])

    def _insert_what_no_door_makes(self, batch_id: str) -> None:
        counts = {"sent": 100, "bounced": 10, "complained": 0, "runs": []}
        proof = {"begun_at": NOW, "ended_at": NOW, "differences": {"inbound": 0}, "counts": {}}
        with self.engine.begin() as connection:
            connection.execute(insert(table(BreakerRow)).values(tenant="acme", trip="bounces", opened_at=NOW, **counts))
            connection.execute(text("update breaker set closed_at = :now"), {"now": NOW})
            connection.execute(insert(table(ReconciliationRow)).values(**proof))
            connection.execute(insert(table(WorkerRow)).values(name="w", started_at=NOW, beat_at=NOW, in_hand=0))

    def _one(self, statement: str) -> str:
        with self.engine.connect() as connection:
            return str(connection.execute(text(statement)).scalar_one())

    def values(self, statement: str) -> list[Any]:
        """Return the only column of a query."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement)).scalars())

    @contextmanager
    def without_triggers(self) -> Iterator[Any]:
        """Write without triggers, as an administrator in psql can: triggers refuse changes of activities."""
        with tampering(self.engine) as connection:
            yield connection

    def spoil_times(self, value: str) -> None:
        """Set every time of acme's rows and of received mail to a value that only SQL can write."""
        with self.without_triggers() as connection:
            for one in SQLModel.metadata.tables.values():
                names = [column.name for column in one.columns if isinstance(column.type, DateTime)]
                if names and one.name not in ("skipped_row", "quota_use"):
                    values = ", ".join(f'"{name}" = cast(:value as timestamptz)' for name in names)
                    connection.execute(text(f'update "{one.name}" set {values}'), {"value": value})

    def spoil_shapes(self, value: str) -> None:
        """Set every JSON value to one of another shape."""
        with self.without_triggers() as connection:
            for one in SQLModel.metadata.tables.values():
                for column in one.columns:
                    if isinstance(column.type, JSONB):
                        spoilt = f'update "{one.name}" set "{column.name}" = cast(:value as jsonb)'
                        connection.execute(text(spoilt), {"value": value})

    def spoil_numbers(self, *, largest: bool) -> None:
        """Set every number to the largest that its column takes, or to -1; those with a constraint that refuses it stay."""
        with self.without_triggers() as connection:
            for one in SQLModel.metadata.tables.values():
                for column in one.columns:
                    if isinstance(column.type, Integer) and not column.primary_key and one.name not in OF_ALL:
                        bits = 63 if isinstance(column.type, BigInteger) else 31
                        number = 2**bits - 1 if largest else -1
                        with suppress(IntegrityError), connection.begin_nested():
                            connection.execute(text(f'update "{one.name}" set "{column.name}" = {number}'))

    def spoil_words(self) -> None:
        """Set every word that code compares to an unknown one."""
        words = {"status", "lane", "policy", "state", "kind", "trip", "actor", "period", "source", "processor", "loop"}
        with self.without_triggers() as connection:
            for one in SQLModel.metadata.tables.values():
                for column in one.columns:
                    if column.name in words and str(column.type) == "VARCHAR" and not column.primary_key:
                        connection.execute(text(f'update "{one.name}" set "{column.name}" = \'no such word\''))

    def reads(self) -> Iterator[tuple[str, str, int]]:
        """Ask every list, page and metric as an administrator and as another tenant; yield who, what and the status."""
        inside = (getattr(one, "original_router", None) for one in self.app.routes)
        paths = {
            route.path
            for router in inside
            if router is not None
            for route in router.routes
            if isinstance(route, APIRoute)
            and "GET" in route.methods
            and not route.path.startswith(("/u/", "/c/", "/o/", "/sign-in"))
        }
        for path in sorted(paths):
            named = _IDS.sub(lambda one: self.ids.get(one[1], "1"), path)
            for who, headers in (("admin", ADMIN), ("umbrella", UMBRELLA)):
                # An answer with the id of a spoilt row is about that row alone.
                asked = named.replace("/recipients", "/recipients?address=ada@users.test")
                asked = asked.replace("/quarantine/address", "/quarantine/address?recipient=ada@users.test")
                yield who, path, self.client.get(asked, headers=headers).status_code

    def loops(self) -> dict[str, Callable[[], object]]:
        """Return every loop that goes through the rows of all tenants, each as one pass."""
        outbox, watch, later = SqlOutbox(self.engine), SqlMonitoring(self.engine), LATER
        hooks, events = SqlHooks(self.engine), SqlEvents(self.engine)
        tracking = Tracking(
            events, hooks, MemoryQueue(), forget=lambda now: forget_outbound(self.engine, now), clock=lambda: later
        )
        endpoints: Any = SqlEndpoints(self.engine)

        def settled() -> object:
            with office_on(self.engine) as office:
                return settle_unknown(office.outbound, now=later)

        return {
            "relay": lambda: relay(outbox, self.queue, now=later),
            "sweep-outbound": lambda: outbox.remind(before=later, limit=10, now=later),
            "sweep-inbound": lambda: silent(ledger=SqlLedger(self.engine), before=later),
            "watch": lambda: (watch.waiting_since(now=later), watch.skipped()),
            "settle": settled,
            "rematch": lambda: events.rematch(now=later, limit=100),
            "tracking": tracking.once,
            "forget": lambda: (forget_outbound(self.engine, later), hooks.forget(before=later)),
            "webhooks": lambda: notify(endpoints, MemoryWebhooks(), clock=lambda: later),
            "census": lambda: (SqlInboxReader(self.engine).census(), watch.census(now=later)),
            "last proof": SqlReconciliations(self.engine).last,
            "suppressions": lambda: SqlSuppressions(self.engine).all(None, address=None, after=None, limit=100),
            "check": self.check,
        }

    def check(self) -> dict[str, int]:
        """Return the findings of `mailroom check` on the tables."""
        report = Report(emit=lambda _: None, progress=lambda _: None)
        with psycopg.connect(self.database_url) as connection:
            saturate_times(connection)
            check_messages(connection, report, Patience(LATER, timedelta(hours=1)))
            check_rows(connection, report)
        return dict(report.wrong)

    def relayed(self) -> set[str]:
        """Return the batches that are on the mailbox queue."""
        return set(re.findall(r'"batch_id": "([^"]+)"', " ".join(self.queue.bodies)))
