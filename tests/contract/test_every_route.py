"""Every route of the application, requested by every caller it is not for; a new route is covered by itself."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import SecretStr
from sqlalchemy import Engine

from mailroom.adapters.postgres.delivery.endpoints import SqlEndpoints
from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.delivery.unsubscribing import SqlUnsubscribing
from mailroom.adapters.postgres.inbox.inbox_reader import SqlInboxReader
from mailroom.adapters.postgres.tenants.addresses import SqlAddresses
from mailroom.api.app import create_app
from mailroom.api.services import OutboundServices
from mailroom.testing.api import BROWSER, Memory, TestClient
from tests.support.batch_requests import ACME, PORTS, UMBRELLA, PlantedKeys, batch, submitted
from tests.support.signed_in import add_person

#: Open by design: they return counts, and what they accept is authenticated otherwise.
PUBLIC = re.compile(
    r"/(healthz|readyz|metrics|docs|openapi\.json|hooks/.*|u/.*|c/.*|o/.*|static.*|sign-in.*|sign-out.*)"
)
HOSTILE = ["' or 1=1 --", "%", "_", "..%2f..%2fetc", "\u202e", "00000000-0000-0000-0000-000000000000", "9" * 400]


class World:
    """The service on PostgreSQL, with one batch, message and webhook of acme's."""

    def __init__(self, engine: Engine) -> None:
        memory = Memory()
        outbound = OutboundServices(*(port(engine) for port in PORTS), unsubscribing=SqlUnsubscribing(engine))
        services = memory.services()
        services = replace(
            services,
            reader=SqlInboxReader(engine),
            addresses=SqlAddresses(engine),
            sending=outbound,
            events=SqlEvents(engine),
            endpoints=SqlEndpoints(engine),
            keys=PlantedKeys(engine),
            settings=services.settings.model_copy(update={"unsubscribe_key": SecretStr("a key of some length")}),
        )
        self.app = create_app(services)
        self.client = TestClient(self.app, base_url="http://mail.example", follow_redirects=False)
        self.client.headers.update(ACME)
        batch_id = submitted(self.client, batch())["id"]
        message = self.client.get(f"/v1/messages?batch={batch_id}").json()["items"][0]["id"]
        webhook = self.client.post("/v1/webhooks", json={"url": "https://acme.test/"}).json()["id"]
        key = self.client.post("/v1/keys", json={"name": "one of acme's", "scopes": ["send"]}).json()["id"]
        self.ids = {"batch_id": batch_id, "message_id": message, "webhook_id": webhook, "key_id": key}
        self.ids["person_id"] = add_person(memory.people, "ada@acme.test").id
        self.client.headers.pop("authorization")

    def routes(self) -> Iterator[tuple[str, str]]:
        """Yield method and path of every route that is not public."""
        # An included router counts as one route.
        inside = (getattr(one, "original_router", None) for one in self.app.routes)
        for route in [one for router in inside if router is not None for one in router.routes]:
            if isinstance(route, APIRoute) and not PUBLIC.fullmatch(route.path):
                for method in sorted(route.methods - {"HEAD"}):
                    yield method, route.path

    def ask(self, method: str, path: str, filled: dict[str, str], headers: dict[str, str]) -> Any:
        named = re.sub(r"\{(\w+)(:\w+)?\}", lambda one: filled.get(one[1], "1"), path)
        return self.client.request(
            method, named, headers=headers, json={} if method in ("POST", "PUT", "PATCH") else None
        )


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine)


def test_no_route_answers_without_a_key(world: World) -> None:
    """A route that does not check its key would be open to everybody; a forged header of a proxy is no key either."""
    forged = {
        "X-Forwarded-For": "127.0.0.1",
        "X-Real-IP": "127.0.0.1",
        "X-Forwarded-Host": "127.0.0.1",
        "X-Remote-User": "admin",
    }
    nobody = ({}, forged, {"Authorization": "Bearer "}, BROWSER | {"Authorization": "Bearer wrong"})
    answers = {
        (method, path): {world.ask(method, path, world.ids, headers).status_code for headers in nobody}
        for method, path in world.routes()
    }

    assert len(answers) > 30
    assert {route: statuses for route, statuses in answers.items() if statuses != {401}} == {}
    # A browser is sent to a page that signs in, from pages alone.
    for method, path in answers:
        answer = world.ask(method, path, world.ids, BROWSER)
        away = answer.headers.get("location", "").startswith("/sign-in?next=")
        assert (answer.status_code, away) == ((401, False) if path.startswith("/v1/") else (303, True)), path


def test_no_route_knows_another_tenants_id(world: World) -> None:
    """404, as for an unknown id, for every request; and the owner's own response shows that it exists."""
    with_ids = [(method, path) for method, path in world.routes() if any(f"{{{name}}}" in path for name in world.ids)]

    theirs = {(method, path): world.ask(method, path, world.ids, UMBRELLA).status_code for method, path in with_ids}
    ours = {path: world.ask("GET", path, world.ids, ACME).status_code for method, path in with_ids if method == "GET"}

    assert len(theirs) > 8
    # A malformed body is refused before anything is looked up.
    assert set(theirs.values()) <= {404, 422}
    assert {status for (method, _), status in theirs.items() if method in ("GET", "DELETE")} == {404}
    assert set(ours.values()) == {200}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_id_is_more_than_an_id(world: World, hostile: str) -> None:
    """Wildcards, quotes, paths and numbers of any length find nothing and cause no error."""
    filled = dict.fromkeys(world.ids, hostile)
    answers = {
        (method, path): world.ask(method, path, filled, ACME).status_code
        for method, path in world.routes()
        if any(f"{{{name}}}" in path for name in world.ids)
    }

    assert set(answers.values()) <= {404, 405, 422}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/messages?limit=1000000000", "/v1/messages?limit=-1", "/v1/messages?cursor=garbage", "/v1/messages?status=%25",
        "/v1/suppressions?limit=1000000000", "/v1/messages?recipient=%25", "/v1/suppressions?address=_",
    ],
)  # fmt: skip
def test_paging_and_filters_are_bounded(world: World, path: str) -> None:
    """A huge page, or a filter that is a wildcard, is refused before the database is queried."""
    assert world.client.get(path, headers=ACME).status_code in (400, 422)


def test_unknown_ways_to_sort_and_filter_are_refused(world: World) -> None:
    """There is one order; column names are not exposed, and a caller that names one expects another order."""
    answer = world.client.get("/v1/messages?sort=password&order_by=secret&tenant=acme", headers=ACME)

    assert answer.status_code == 422
    assert [one["where"] for one in answer.json()["errors"]] == [["query", "order_by"], ["query", "sort"]]
    assert world.client.get("/v1/messages?tenant=acme", headers=UMBRELLA).status_code == 404
