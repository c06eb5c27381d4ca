"""Responses of every route and page to a tenant's key: nothing of another tenant's, nothing internal."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import SecretStr
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.breakers import SqlBreakers
from mailroom.adapters.postgres.delivery.endpoints import SqlEndpoints
from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.delivery.suppressions import SqlSuppressions
from mailroom.adapters.postgres.delivery.unsubscribing import SqlUnsubscribing
from mailroom.adapters.postgres.inbound.processing import SqlProcessings
from mailroom.adapters.postgres.inbound.replays import SqlReplays
from mailroom.adapters.postgres.inbox.inbox_reader import SqlInboxReader
from mailroom.adapters.postgres.inbox.item_marks import SqlItemMarks
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.tenants.addresses import SqlAddresses
from mailroom.api.app import create_app
from mailroom.api.services import OutboundServices
from mailroom.delivery.tenant_webhooks import body_of
from mailroom.domain.inbound.received_email import State
from mailroom.domain.inbound.routing import Address
from mailroom.inbound.replaying import Replayer
from mailroom.ports.replays import ReplayOrder
from mailroom.ports.suppressions import Suppression
from mailroom.testing.api import BROWSER, NOW, Memory, TestClient
from tests.support.batch_requests import ACME, ADMIN, HOLDERS, PORTS, batch, message, submitted
from tests.support.filed_mail import ANNA, Filed
from tests.support.signed_in import add_person

#: Of another tenant, which shares the e-mail and the installation with acme.
THEIRS = {"bob@other.test", "carla@other.test", "customer@theirs.test", "listed@theirs.test"}
RUN = "0190a1b2-0000-7000-8000-0000000000ff"
#: Of the installation: where it runs, what it is made of, and the ids of its parts.
INTERNAL = {
    "prefect.internal",
    "kept-bucket",
    "kept-key",
    "kept-version",
    "raw-bucket",
    "queue.internal",
    "database.internal",
}
#: Answered without a key, to everybody.
PUBLIC = re.compile(
    r"/(healthz|readyz|metrics|docs|openapi\.json|hooks/.*|u/.*|c/.*|o/.*|static.*|sign-in.*|sign-out.*)"
)


class Installation:
    """An installation on PostgreSQL with mail of two tenants, in and out, and ids of all that acme may request."""

    def __init__(self, engine: Engine) -> None:
        self.engine, filed = engine, Filed(engine)
        self.memory = memory = Memory()
        memory.keys.holders.update(HOLDERS)
        memory.runs.known.add(RUN)
        services = memory.services()
        self.app = create_app(
            replace(
                services,
                reader=SqlInboxReader(engine),
                marks=SqlItemMarks(engine),
                ledger=filed.ledger,
                archive=filed.archive,
                addresses=SqlAddresses(engine),
                sending=OutboundServices(*(port(engine) for port in PORTS), unsubscribing=SqlUnsubscribing(engine)),
                events=SqlEvents(engine),
                endpoints=SqlEndpoints(engine),
                replayer=Replayer(SqlReplays(engine), filed.ledger, memory.runs, SqlProcessings(engine)),
                settings=services.settings.model_copy(update=self.settings()),
            )
        )
        self.client = TestClient(self.app, base_url="http://mail.example", follow_redirects=False)
        self._plant_inbound(filed)
        SqlAddresses(engine).add(Address("listed@theirs.test", "umbrella", "carla@other.test"))
        self.ids = {
            "item_id": filed.items[0],
            "email_id": filed.entry.id,
            "number": "1",
            "member": "1",
            "address": ANNA.recipient,
        }
        order = ReplayOrder(ids=(filed.entry.id,))
        self.ids["replay_id"] = SqlReplays(engine).begin("acme", order, by="app", now=NOW).id
        self.ids |= self._sent()

    def settings(self) -> dict[str, Any]:
        return {
            "prefect_url": "https://prefect.internal",
            "prefect_api_url": "https://prefect.internal/api",
            "inbound_bucket": "raw-bucket",
            "archive_bucket": "kept-bucket",
            "inbound_queue_url": "https://queue.internal/",
            "mailbox_queue_url": "https://queue.internal/",
            "tracking_queue_url": "https://queue.internal/",
            "database_url": SecretStr("postgresql://database.internal/"),
            "unsubscribe_key": SecretStr("a key of some length"),
        }

    def _plant_inbound(self, filed: Filed) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                text("update deposit_copy set bucket = 'kept-bucket', key = 'kept-key', version = 'kept-version'")
            )
            facts = '{"object": "raw-bucket", "recipient": "bob@other.test", "where": "queue.internal"}'
            connection.execute(
                text("update inbound_email set run_id = :run, facts = :facts, unrouted = array['bob@other.test']"),
                {"run": RUN, "facts": facts},
            )
            noted = text("insert into inbound_activity (email_id, at, kind, facts) values (:id, :at, 'routed', :facts)")
            connection.execute(noted, {"id": filed.entry.id, "at": NOW, "facts": facts})
        filed.ledger.close(filed.entry.id, State.QUARANTINED, now=NOW)

    def _sent(self) -> dict[str, str]:
        """Submit a batch of acme's and one of the other tenant's, and return acme's ids."""
        theirs = submitted(self.client, batch(message(to="customer@theirs.test")), **_umbrella())
        ours = submitted(self.client, batch(message(), message(to="shared@both.test")), **ACME)["id"]
        hook = {"url": "https://acme.test/", "events": ["sending", "suppressed"]}
        webhook = self.client.post("/v1/webhooks", json=hook, headers=ACME).json()["id"]
        everybody = {"reason": "hard_bounce", "message_id": self._message(theirs["id"]), "since": NOW}
        SqlSuppressions(self.engine).add(
            [Suppression(address=one, tenant=None, **everybody) for one in ("listed@theirs.test", "shared@both.test")]
        )
        dispatch = SqlDispatch(self.engine)
        dispatch.plan(ours, now=NOW)
        [claimed] = dispatch.claim(ours, most=10, provider="ses", now=NOW, run_id=RUN)
        key = self.client.post("/v1/keys", json={"name": "acme's", "scopes": ["send"]}, headers=ACME).json()["id"]
        ids = {"batch_id": ours, "message_id": claimed.draft.id, "webhook_id": webhook, "breaker_id": self._broken()}
        return ids | {"key_id": key, "person_id": add_person(self.memory.people, "ada@acme.test").id}

    def _message(self, batch_id: str) -> str:
        with self.engine.connect() as connection:
            wanted = text("select id from message where batch_id = :batch")
            return str(connection.execute(wanted, {"batch": batch_id}).scalar_one())

    def _broken(self) -> str:
        """Open a breaker of acme's with a suspended run."""
        batch_id = submitted(self.client, batch(*(message(to=f"u{at}@users.test") for at in range(100))), **ACME)["id"]
        with self.engine.begin() as connection:
            complained = text("update message set status = 'complained', handed_at = :now where batch_id = :batch")
            connection.execute(complained, {"now": NOW, "batch": batch_id})
        breakers = SqlBreakers(self.engine)
        found = breakers.check(batch_id, now=NOW)
        assert found is not None
        breakers.hold(found.id, RUN)
        return found.id

    def routes(self) -> Iterator[tuple[str, str]]:
        """Yield method and path of every route that needs a key."""
        inside = (getattr(one, "original_router", None) for one in self.app.routes)
        for route in [one for router in inside if router is not None for one in router.routes]:
            if isinstance(route, APIRoute) and not PUBLIC.fullmatch(route.path):
                for method in sorted(route.methods - {"HEAD"}):
                    yield method, re.sub(r"\{(\w+)(:\w+)?\}", lambda one: self.ids[one[1]], route.path)

    def asked(self, headers: dict[str, str], only: str | None = None) -> Iterator[tuple[str, int, str]]:
        """Yield the response of each route, deleting routes last."""
        for method, path in sorted(self.routes(), key=lambda one: one[0] == "DELETE"):
            if only not in (None, method):
                continue
            for query in ("", "?address=listed@theirs.test") if method == "GET" else ("",):
                body = {} if method in ("POST", "PUT", "PATCH") else None
                answer = self.client.request(method, path + query, json=body, headers=headers)
                yield f"{method} {path}{query}", answer.status_code, f"{answer.headers} {answer.text}"


def _umbrella() -> dict[str, str]:
    return {"Authorization": "Bearer umbrella-key"}


@pytest.fixture
def installation(engine: Engine) -> Installation:
    return Installation(engine)


def words_in(said: str, query: str = "") -> set[str]:
    # The response may repeat the request.
    return {word for word in THEIRS | INTERNAL | {RUN} if word in said and word not in query}


def test_a_tenant_is_answered_nothing_of_others_and_nothing_internal(installation: Installation) -> None:
    """One e-mail is for several tenants, one suppression list for all, and one orchestrator runs everything.

    An administrator's responses have all of it, which proves that the data is there.
    """
    whole = [said for asked, _, said in installation.asked(ADMIN | BROWSER, only="GET")]

    answers = list(installation.asked(ACME | BROWSER))

    assert {asked: words for asked, _, said in answers if (words := words_in(said, asked))} == {}
    read = {asked: status for asked, status, _ in answers if asked.startswith("GET") and "?" not in asked}
    assert len(read) > 25
    assert set(read.values()) <= {200, 404}
    assert {asked for asked, status in read.items() if status == 404} == {
        "GET /parked",
        # Of people.
        "GET /settings",
        # Of operators.
        "GET /status",
        "GET /v1/status",
        "GET /quarantine/address",
        f"GET /items/{installation.ids['item_id']}/html",
        # Nothing is inside its PDF.
        *(f"GET {v1}/items/{installation.ids['item_id']}/attachments/1/members/1" for v1 in ("", "/v1")),
        f"GET /items/{installation.ids['item_id']}/attachments/1/members/1/preview",
    }
    found = set[str]().union(*map(words_in, whole))
    assert found >= {RUN, "bob@other.test", "listed@theirs.test"}
    assert found >= {"prefect.internal", "kept-bucket", "kept-key", "kept-version", "raw-bucket"}


def test_the_global_list_is_neither_read_nor_probed_by_a_tenant(installation: Installation) -> None:
    """Asked for one address, for all, by a preview, by adding or removing: the response is as if it were empty."""
    api, address = installation.client, {"address": "listed@theirs.test"}
    asked = batch(message(to="listed@theirs.test"), message(to="new@theirs.test"))

    listed = api.get("/v1/suppressions", headers=ACME).json()["items"]
    probed = api.get("/v1/suppressions", params=address, headers=ACME).json()["items"]
    pages = [api.get(path, params=address, headers=ACME | BROWSER).text for path in ("/suppressions", "/recipients")]
    preview = api.post("/v1/batches", params={"dry_run": "true"}, json=asked, headers=ACME).json()
    whole = api.post("/v1/batches", params={"dry_run": "true", "tenant": "acme"}, json=asked, headers=ADMIN).json()
    released = api.delete("/v1/suppressions", params=address, headers=ACME).status_code
    added = api.post("/v1/suppressions", json={"addresses": ["listed@theirs.test"]}, headers=ACME).json()

    assert (listed, probed) == ([], [])
    assert "Not suppressed" in pages[0]
    assert "suppressed<" not in pages[1]
    assert (preview["messages"], preview["suppressed"]) == (2, [])
    assert (whole["messages"], whole["suppressed"]) == (1, [0])
    assert (released, added) == (404, {"added": 1})


def test_a_tenant_sees_why_its_own_message_was_withheld(installation: Installation) -> None:
    """By its own list, with all details, or by the global one, of which it learns only this."""
    api = installation.client
    api.post("/v1/suppressions", json={"addresses": ["left@users.test"]}, headers=ACME)
    asked = batch(message(to="left@users.test"), message(to="shared@both.test"))
    batch_id = submitted(api, asked, **ACME)["id"]
    SqlDispatch(installation.engine).plan(batch_id, now=NOW)

    why, pages = {}, {}
    for line in api.get("/v1/messages", params={"batch": batch_id}, headers=ACME).json()["items"]:
        last = api.get(f"/v1/messages/{line['id']}/activities", headers=ACME).json()["items"][-1]
        why[line["to"]] = (line["status"], last["kind"], last["facts"]["list"])
        pages[line["to"]] = api.get(f"/messages/{line['id']}", headers=ACME | BROWSER).text

    assert why == {
        "left@users.test": ("suppressed", "suppressed", "tenant"),
        "shared@both.test": ("suppressed", "suppressed", "global"),
    }
    assert "suppressed for this tenant" in pages["left@users.test"]
    assert "suppressed for all tenants, by an administrator" in pages["shared@both.test"]


def test_a_webhook_is_posted_nothing_internal(installation: Installation) -> None:
    """A posted event leaves the installation for good."""
    parcel = SqlEndpoints(installation.engine).take(now=NOW, until=NOW)
    assert parcel is not None

    assert any("run_id" in news.facts for news in parcel.events)
    assert words_in(body_of(parcel).decode()) == set()


def test_a_replay_of_a_tenants_names_no_run(installation: Installation) -> None:
    """The run's name and link are the orchestrator's."""
    path = f"/v1/inbound/{installation.ids['email_id']}/replay"

    ours, whole = (installation.client.post(path, headers=headers).json()["run"] for headers in (ACME, ADMIN))

    assert ours == {"id": None, "name": None, "state": whole["state"], "url": None}
    assert whole["id"] == RUN
