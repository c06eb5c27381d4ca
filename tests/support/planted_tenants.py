"""Two tenants with something of each kind that a route can show or change, for tests of isolation.

Everything of a tenant contains its name, so that a search for the name finds whatever of it is shown to anybody else.
"""

import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import uuid4

from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Engine, insert, text
from sqlalchemy.dialects.postgresql import insert as upsert

from mailroom.adapters.postgres.delivery.endpoints import SqlEndpoints
from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.delivery.suppressions import SqlSuppressions
from mailroom.adapters.postgres.delivery.unsubscribing import SqlUnsubscribing
from mailroom.adapters.postgres.inbound.processing import SqlProcessings
from mailroom.adapters.postgres.inbound.replays import SqlReplays
from mailroom.adapters.postgres.inbox.filing import SqlInbox
from mailroom.adapters.postgres.inbox.inbox_reader import SqlInboxReader
from mailroom.adapters.postgres.inbox.item_marks import SqlItemMarks
from mailroom.adapters.postgres.models import DepositRow, table
from mailroom.adapters.postgres.operations.monitoring import SqlMonitoring
from mailroom.adapters.postgres.operations.status import SqlStatusFacts
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.models import BreakerRow
from mailroom.adapters.postgres.outbound.quotas import SqlQuotas
from mailroom.adapters.postgres.tenants.addresses import SqlAddresses
from mailroom.adapters.postgres.tenants.api_keys import SqlApiKeys
from mailroom.adapters.postgres.tenants.people import SqlPeople, SqlSessions, SqlSignInLinks
from mailroom.adapters.postgres.tenants.senders import SqlSenders
from mailroom.adapters.postgres.tenants.trail import SqlTrail
from mailroom.api.app import create_app
from mailroom.api.services import OutboundServices, PeopleServices, Services
from mailroom.api.sessions import cookie_name
from mailroom.archive.depositing import deposit_all
from mailroom.delivery.tenant_webhooks import notify
from mailroom.domain.api_keys import ADMINISTER, first_characters, key_digest, new_key
from mailroom.domain.delivery.streams import UnsubscribePolicy
from mailroom.domain.errors import Refused
from mailroom.domain.inbound.received_email import Arrival, Envelope, ObjectRef, State
from mailroom.domain.inbound.routing import Address, Route
from mailroom.domain.outbound.quotas import Allowance
from mailroom.domain.parsing import parse_email
from mailroom.domain.people import Role
from mailroom.inbound.filing import items_for
from mailroom.inbound.replaying import Replayer
from mailroom.inbound.routing import RoutingDecision
from mailroom.operations.status import StatusReader
from mailroom.operations.status_rows import sources
from mailroom.ports.api_keys import NewKey
from mailroom.ports.dispatch import Outcome
from mailroom.ports.people import NewPerson, Person
from mailroom.ports.replays import ReplayOrder
from mailroom.ports.suppressions import Suppression
from mailroom.testing.api import NOW, Memory, TestClient
from mailroom.testing.webhooks import MemoryWebhooks
from tests.support.batch_requests import PORTS, submitted
from tests.support.filed_mail import inbound_on

#: The tenant whose holders ask, and the one of which they may learn nothing. No other text contains these words.
OURS, THEIRS = "quokka", "numbat"
RUN = "0190a1b2-0000-7000-8000-0000000000ff"


def letter(word: str, to: str, number: int) -> bytes:
    """Return a mail whose subject, sender, texts, file and forwarded mail contain `word`."""
    forwarded = f"From: {word}@far.test\r\nSubject: {word} inner\r\nTo: {to}\r\n\r\n{word} inner text {number}"
    return (
        f"From: {word} <{word}@far.test>\r\nTo: {to}\r\nSubject: {word} letter {number}\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        f"--b\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n--a\r\n\r\n{word} text\r\n"
        f"--a\r\nContent-Type: text/html\r\n\r\n<p>{word} <b>html</b></p>\r\n--a--\r\n"
        f"--b\r\nContent-Type: application/pdf; name={word}.pdf\r\nContent-Disposition: attachment; "
        f"filename={word}.pdf\r\n\r\n%PDF-1.7 {word} {number}\r\n"
        f"--b\r\nContent-Type: message/rfc822; name={word}.eml\r\n\r\n{forwarded}\r\n--b--\r\n"
    ).encode()


class Installation:
    """The service on PostgreSQL with two planted tenants; archive and orchestrator are in memory."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.memory, self._numbers = engine, Memory(), iter(range(10**6))
        self.inbound, self.keys = inbound_on(engine, archive=self.memory.archive), SqlApiKeys(engine)
        self.replays = SqlReplays(engine)
        self.people = PeopleServices(SqlPeople(engine), SqlSessions(engine), SqlSignInLinks(engine))
        self.app: FastAPI = create_app(self._services())
        self.client = TestClient(self.app, base_url="https://mail.example", follow_redirects=False)
        self.operator = self.key(None, ADMINISTER)
        self.tenants = {name: Planted(self, name) for name in (OURS, THEIRS)}
        self._plant_shared()

    def _services(self) -> Services:
        services, engine = self.memory.services(), self.engine
        settings = {
            "unsubscribe_key": SecretStr("a key of some length"),
            "public_url": "https://mail.example",
            "pages_url": "https://mail.example",
        }
        return replace(
            services,
            reader=SqlInboxReader(engine),
            marks=SqlItemMarks(engine),
            replayer=Replayer(self.replays, self.inbound.ledger, self.memory.runs, SqlProcessings(engine)),
            status=StatusReader(sources(SqlStatusFacts(engine), dead_letters={}, scheduler=None), patience_s=20),
            ledger=self.inbound.ledger,
            addresses=SqlAddresses(engine),
            keys=self.keys,
            sending=OutboundServices(*(port(engine) for port in PORTS), unsubscribing=SqlUnsubscribing(engine)),
            events=SqlEvents(engine),
            watch=SqlMonitoring(engine),
            people=self.people,
            trail=SqlTrail(engine),
            endpoints=SqlEndpoints(engine),
            settings=services.settings.model_copy(update=settings),
        )

    def key(self, tenant: str | None, *scopes: str, name: str = "") -> str:
        """Add an API key and return it."""
        made = new_key()
        self.keys.add(
            NewKey(
                name=name or f"{tenant or 'operator'} key {next(self._numbers)}",
                tenant=tenant,
                scopes=scopes,
                ends_at=None,
                sha256=key_digest(made),
                starts=first_characters(made),
                made_by="cli",
            )
        )
        return made

    def person(self, role: str, tenant: str | None, *inboxes: str) -> Person:
        """Add a person."""
        address = f"{role}-{uuid4().hex}@{tenant or 'operators'}.test"
        return self.people.people.add(NewPerson(address, Role(role), tenant, inboxes, "cli"))

    def signed_in(self, person: Person) -> dict[str, str]:
        """Sign a person in by a link, and return what the browser then sends."""
        secret = self.people.links.make(person.id, "/")
        pressed = {"Sec-Fetch-Site": "same-origin"}
        answer = self.client.post(f"/sign-in/{secret}", headers=pressed)
        assert answer.status_code == 303, answer.text
        name = cookie_name(self.app.state.services.settings)
        session = answer.cookies[name]
        self.client.cookies.clear()
        return {"Cookie": f"{name}={session}"}

    def file(self, raw: bytes, *routes: Route) -> tuple[str, list[str]]:
        """Have a mail arrive and be filed, and return its id and those of its items."""
        decision = RoutingDecision(routes, tuple(sorted({to.tenant for to in routes})))
        email_id = self.arrive(raw, *routes)
        parsed, entry = parse_email(raw), self.inbound.ledger.find(email_id)
        assert entry is not None
        contents = [raw, *(part.content for part in parsed.attachments)]
        kept = deposit_all(
            entry, decision.tenants, contents, archive=self.memory.archive, ledger=self.inbound.ledger, now=NOW
        )
        rows = [asdict(receipt) | {"deposited_at": NOW} for receipt in kept.values()]
        with self.engine.begin() as connection:
            connection.execute(upsert(table(DepositRow)).on_conflict_do_nothing(), rows)
        items = SqlInbox(self.engine).file(email_id, items_for(parsed, raw, decision, kept), now=NOW)
        self.inbound.ledger.close(email_id, State.FILED, now=NOW)
        return email_id, items

    def arrive(self, raw: bytes, *routes: Route) -> str:
        """Have a mail arrive and be routed, and return its id."""
        envelope = Envelope(tuple(to.recipient for to in routes), "far@far.test", NOW)
        ref = ObjectRef("inbound", f"in/{next(self._numbers)}")
        entry = self.inbound.ledger.register(Arrival(ref, envelope), now=NOW)
        assert entry is not None
        self.inbound.ledger.routed(entry.id, routes, now=NOW)
        return entry.id

    def _plant_shared(self) -> None:
        """One mail that is filed for both tenants, one that waits for both, and one that is for neither."""
        routes = [self.tenants[name].anna for name in (OURS, THEIRS)]
        raw = b"From: x@far.test\r\nSubject: for both\r\n\r\nboth"
        self.shared, items = self.file(raw, *routes)
        self.tenants[OURS].ids["shared_item"], self.tenants[THEIRS].ids["shared_item"] = items
        waiting = self.arrive(raw, *routes)
        lost = f"lost@{THEIRS}.test"
        self.inbound.ledger.close(waiting, State.QUARANTINED, now=NOW, reason="virus", facts={"recipient": lost})
        self.inbound.ledger.close(self.arrive(raw), State.QUARANTINED, now=NOW, reason="no_route")
        everybody = {"reason": "hard_bounce", "message_id": self.tenants[THEIRS].ids["message_id"], "since": NOW}
        SqlSuppressions(self.engine).add([Suppression(address=f"all@{THEIRS}.test", tenant=None, **everybody)])


@dataclass(frozen=True, slots=True)
class Inbox:
    """An inbox of a tenant and one item in it."""

    address: str
    item_id: str


class Planted:
    """One tenant's data: `ids` are those of its first inbox and of one thing of each other kind."""

    def __init__(self, installation: Installation, name: str) -> None:
        self._on, self.name = installation, name
        self.administrator = installation.key(name, ADMINISTER)
        self.headers = {"Authorization": f"Bearer {self.administrator}"}
        self.anna, self.zoe = (
            Route(f"{user}@{name}.test", name, f"{user}-{name}", "exact") for user in ("anna", "zoe")
        )
        self._plant_settings()
        self.email_id, [self.item_id] = installation.file(letter(name, self.anna.recipient, 1), self.anna)
        _, [item_of_zoe] = installation.file(letter(name, self.zoe.recipient, 2), self.zoe)
        self.other_inbox = Inbox(self.zoe.recipient, item_of_zoe)
        self.ids = {
            "item_id": self.item_id,
            "number": "2",
            "member": "1",
            "address": self.anna.recipient,
            "email_id": self.quarantined(),
        }
        self.ids |= self._plant_sent()

    def quarantined(self) -> str:
        """Have a mail arrive that waits for a person."""
        email_id = self._on.arrive(letter(self.name, self.anna.recipient, 3), self.anna)
        facts = {"recipient": self.anna.recipient}
        self._on.inbound.ledger.close(email_id, State.QUARANTINED, now=NOW, reason="virus", facts=facts)
        return email_id

    def replay(self) -> str:
        """Begin a replay of one mail, and return its id."""
        order = ReplayOrder(ids=(self.quarantined(),))
        return self._on.replays.begin(self.name, order, by=f"{self.name} key", now=NOW).id

    def batch(self) -> str:
        """Submit a batch of one message that nobody has sent yet."""
        to = f"{uuid4().hex}@{self.name}-customers.test"
        message = {
            "to": f"{self.name} <{to}>",
            "subject": f"{self.name} subject",
            "text": f"{self.name} text",
            "html": f"<p>{self.name} html</p>",
            "metadata": {"word": self.name},
            "reference": f"{self.name}-reference",
        }
        asked = {"from": f"{self.name} <desk@{self.name}.test>", "messages": [message]}
        return str(submitted(self._on.client, asked, **self.headers)["id"])

    def message(self, batch_id: str | None = None) -> str:
        """Return the message of a batch, of one that was refused if none is named."""
        batch_id = batch_id or self.refused()
        listed = self._on.client.get("/v1/messages", params={"batch": batch_id}, headers=self.headers).json()
        return str(listed["items"][0]["id"])

    def refused(self) -> str:
        """Submit a batch whose message the recipient's server refuses."""
        batch_id, dispatch = self.batch(), SqlDispatch(self._on.engine)
        claims = dispatch.claim(batch_id, most=10, provider="ses", now=NOW, run_id=RUN)
        dispatch.settle([Outcome(one.draft.id, one.attempt, Refused("no", code=550)) for one in claims], now=NOW)
        return batch_id

    def webhook(self) -> str:
        """Add a webhook."""
        asked = {"url": f"https://hooks.{self.name}.test/{secrets.token_hex(8)}"}
        answer = self._on.client.post("/v1/webhooks", json=asked, headers=self.headers)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def key(self) -> str:
        """Add a key, and return its id."""
        asked = {"name": f"{self.name} key", "scopes": ["send"]}
        answer = self._on.client.post("/v1/keys", json=asked, headers=self.headers)
        return str(answer.json()["id"])

    def person(self) -> str:
        """Add a person, and return the id."""
        return self._on.person("member", self.name, self.anna.recipient).id

    def new_address(self) -> str:
        """Return an address that is no person's."""
        return f"new-{uuid4().hex}@{self.name}.test"

    def breaker(self) -> str:
        """Open a breaker, and return its id."""
        row = {"id": uuid4(), "tenant": self.name, "batch_id": self.batch(), "trip": "bounces", "opened_at": NOW}
        counts = {"sent": 100, "bounced": 50, "complained": 0}
        with self._on.engine.begin() as connection:
            connection.execute(insert(table(BreakerRow)), [row | counts | {"runs": [RUN]}])
        return str(row["id"])

    def suppressed(self) -> str:
        """Suppress an address, and return it."""
        address = f"left-{uuid4().hex}@{self.name}-customers.test"
        SqlSuppressions(self._on.engine).add(
            [Suppression(address=address, tenant=self.name, reason="manual", since=NOW)]
        )
        return address

    def pattern(self) -> str:
        """Let the tenant send from one more address."""
        pattern = f"desk-{uuid4().hex}@{self.name}.test"
        SqlSenders(self._on.engine).allow(self.name, pattern)
        return pattern

    def receiving(self) -> str:
        """Have the tenant receive at one more address."""
        pattern = f"more-{uuid4().hex}@{self.name}.test"
        SqlAddresses(self._on.engine).add(Address(pattern, self.name, self.name))
        return pattern

    def _plant_settings(self) -> None:
        engine, name = self._on.engine, self.name
        for to in (self.anna, self.zoe):
            SqlAddresses(engine).add(Address(to.recipient, name, to.user, to.processor))
        SqlSenders(engine).allow(name, f"@{name}.test")
        SqlQuotas(engine).allow(name, Allowance(10_000, 100_000, 1_000_000))
        words = UnsubscribePolicy(name=f"{name} name", text=f"{name} text", groups={"7": name})
        SqlUnsubscribing(engine).set_policy(name, words)

    def _plant_sent(self) -> dict[str, str]:
        webhook, batch_id = self.webhook(), self.refused()
        receiver, endpoints = MemoryWebhooks(), SqlEndpoints(self._on.engine)
        while notify(endpoints, receiver, clock=lambda: NOW, jitter=lambda: 0.5):
            pass
        more = {"suppressed": self.suppressed(), "pattern": self.pattern(), "receiving": self.receiving()}
        return more | {
            "batch_id": batch_id,
            "message_id": self.message(batch_id),
            "webhook_id": webhook,
            "key_id": self.key(),
            "breaker_id": self.breaker(),
            "person_id": self.person(),
            "replay_id": self.replay(),
        }


def rows_of(engine: Engine, tenant: str) -> dict[tuple[str, str], str]:
    """Return every row of a tenant's, in any table, by table and row: those that name it, or an id of such a row, and are not another's."""
    tables = (
        "select table_name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'"
    )
    with engine.connect() as connection:
        names = sorted(connection.execute(text(tables)).scalars())
        rows = {name: connection.execute(text(f'select to_jsonb(t) from "{name}" t')).scalars().all() for name in names}
    known, found = {tenant}, dict[tuple[str, str], str]()
    while True:
        owned = {
            (name, str(row)): row
            for name, row in _each(rows)
            if row.get("tenant") in (None, tenant) and any(word in str(row) for word in known)
        }
        ids = {str(row["id"]) for (name, _), row in owned.items() if row.get("tenant") == tenant and "id" in row}
        if len(owned) == len(found) and ids <= known:
            return {place: place[1] for place in owned}
        known, found = known | {one for one in ids if len(one) == 36}, dict.fromkeys(owned, "")


def ids_of(engine: Engine, tenant: str) -> set[str]:
    """Return the ids and digests of a tenant's rows, which are in the answers to nobody else."""
    with engine.connect() as connection:
        names = connection.execute(
            text(
                "select table_name from information_schema.columns where column_name = 'tenant' and table_schema = 'public'"
            )
        ).scalars()
        rows = [
            row
            for name in names.all()
            for row in connection.execute(
                text(f'select to_jsonb(t) from "{name}" t where tenant = :tenant'), {"tenant": tenant}
            ).scalars()
        ]
    return {str(row["id"]) for row in rows if len(str(row.get("id", ""))) == 36}


def _each(rows: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, those in rows.items():
        yield from ((name, row) for row in those)
