"""Query parameters: under /v1 one that a route does not name is refused, everywhere else it is ignored."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Query
from pydantic import BaseModel, Field, SecretStr

from mailroom.api.app import create_app
from mailroom.api.services import Services
from mailroom.api.v1.known_query import KnownQuery
from mailroom.domain.delivery.tracked_links import Tracker
from mailroom.domain.delivery.unsubscribe import sign
from mailroom.domain.outbound.message import Tracked
from mailroom.testing.api import NOW, Memory, TestClient, an_item, two_tenants
from mailroom.testing.events import MemoryEvents
from tests.support.api_routes import filled, routes_of

KEY = "a key of some length"
MESSAGE = "0190a1b2-0000-7000-8000-00000000000a"
ADMIN = {"Authorization": "Bearer admin"}
ADDED = "utm_source=news&fbclid=IwAR0&utm_source=twice&%00=&empty"


def services(memory: Memory, **changes: Any) -> Services:
    made = memory.services()
    settings = made.settings.model_copy(update={"unsubscribe_key": SecretStr(KEY)})
    return replace(made, settings=settings, **changes)


@pytest.fixture
def app() -> FastAPI:
    """The service of two tenants; it only receives, so no route of sending gets further than its parameters."""
    return create_app(services(two_tenants()))


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    return TestClient(app, base_url="http://mail.example", follow_redirects=False)


def under_v1(app: FastAPI) -> list[tuple[str, str]]:
    return [(method, path) for method, path in routes_of(app) if path.startswith("/v1")]


def known_by_document(app: FastAPI, method: str, path: str) -> list[str]:
    operation = app.openapi()["paths"][path.replace(":path}", "}")][method.lower()]
    return [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]


def test_no_route_of_v1_takes_a_parameter_that_it_does_not_name(app: FastAPI, client: TestClient) -> None:
    """`POST /v1/suppressions?tenants=acme` suppressed for every tenant. The key is checked first: 401 without."""
    routes = under_v1(app)

    for method, path in routes:
        answer = client.request(method, f"{filled(path)}?tenants=acme", headers=ADMIN)
        assert answer.status_code == 422, (method, path)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert [one["where"] for one in answer.json()["errors"]] == [["query", "tenants"]], (method, path)
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            stranger = client.request(method, f"{filled(path)}?tenants=acme", headers=headers)
            assert (stranger.status_code, "tenants" in stranger.text) == (401, False), (method, path)
    assert len(routes) > 25
    assert {method for method, _ in routes} == {"GET", "POST", "PUT", "PATCH", "DELETE"}


def test_every_parameter_of_the_document_is_known_where_it_is_documented(app: FastAPI, client: TestClient) -> None:
    """The rule finds the names by itself; the OpenAPI document finds them in another way, and both must agree."""
    documented = {route: known_by_document(app, *route) for route in under_v1(app)}

    for (method, path), names in documented.items():
        for name in names:
            answer = client.request(method, f"{filled(path)}?{name}=1", headers=ADMIN)
            assert "Unknown query parameter" not in answer.text, (method, path, name)
    assert sum(map(len, documented.values())) > 30


def test_what_is_taken_once_is_given_once(app: FastAPI, client: TestClient) -> None:
    """Of two tenants the last would win, and a log would not show which was meant. A filter may be repeated."""
    for method, path in under_v1(app):
        for name in known_by_document(app, method, path):
            answer = client.request(method, f"{filled(path)}?{name}=a&{name}=a", headers=ADMIN)
            twice = [one for one in answer.json().get("errors", []) if "more than once" in one["what"]]
            assert [one["where"] for one in twice] == (
                [] if name in ("status", "state", "metadata") else [["query", name]]
            )
    assert client.get("/v1/inbound?state=failed&state=quarantined", headers=ADMIN).status_code == 200


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("Tenant=acme", "Tenant"), ("tenant[]=acme", "tenant[]"), ("tenant%20=acme", "tenant "), ("tenant;x=1", "tenant;x"),
        ("tenants", "tenants"), ("=acme", ""), ("%00=1", "\x00"), ("%ff=1", "\ufffd"), ("tenant=acme&x", "x"),
        ("holder=root", "holder"), ("services=1", "services"), ("x" * 400 + "=1", "x" * 50),
    ],
)  # fmt: skip
def test_a_name_is_one_spelling(client: TestClient, query: str, name: str) -> None:
    """What only looks like a parameter is none, and the names of Python's arguments are not parameters by that."""
    answer = client.get(f"/v1/suppressions?{query}", headers=ADMIN)

    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"where": ["query", name], "what": answer.json()["detail"]}]
    assert answer.json()["detail"].endswith("this route has address, cursor, limit, scope, stream, tenant.")


def test_many_unknown_parameters_make_a_short_answer(client: TestClient) -> None:
    """A request line has room for ten thousand names; the answer repeats twenty."""
    answer = client.get("/v1/breakers?" + "&".join(f"n{number}" for number in range(5_000)), headers=ADMIN)

    assert (answer.status_code, len(answer.json()["errors"])) == (422, 20)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/inbound?state=", 422), ("/v1/inbound?reason=", 422), ("/v1/inbound?since=", 422), ("/v1/inbound?limit=", 422),
        ("/v1/inbound?cursor=", 422), ("/v1/inboxes/ann@acme.test/items?tenant=", 422),
        ("/v1/inboxes/ann@acme.test/items?q=", 200), ("/v1/inbound?", 200), ("/v1/inbound?&&", 200),
    ],
)  # fmt: skip
def test_an_empty_value_is_no_absent_one(client: TestClient, path: str, status: int) -> None:
    """`?tenant=$TENANT` of a script whose variable is empty must not mean all tenants; only a missing parameter means none."""
    assert client.get(path, headers=ADMIN).status_code == status


def test_no_byte_of_the_body_is_read_for_it(app: FastAPI) -> None:
    """40 MB that came with a misspelt parameter are not worth reading."""
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("the body was read")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/v1/suppressions", "raw_path": b"/v1/suppressions",
        "query_string": b"tenants=acme", "http_version": "1.1", "scheme": "http", "root_path": "", "server": ("x", 80),
        "headers": [(b"authorization", b"Bearer admin"), (b"content-type", b"application/json"), (b"content-length", b"9")],
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))

    assert sent[0]["status"] == 422
    assert json.loads(sent[1]["body"])["errors"][0]["where"] == ["query", "tenants"]


class Span(BaseModel):
    """Parameters as a model."""

    from_: int = Field(0, alias="from")
    days: list[int] = []


def _page(size: Annotated[int, Query(alias="page-size")] = 10) -> int:
    return size


def _deeper(size: Annotated[int, Depends(_page)], sort: str = "") -> str:
    return f"{size}{sort}"


def test_names_are_found_in_aliases_models_and_what_a_route_depends_on() -> None:
    """A new route must not have to list its parameters a second time."""
    router = APIRouter(prefix="/v1", route_class=KnownQuery)

    @router.get("/things")
    def things(
        deep: Annotated[str, Depends(_deeper)], kind: Annotated[set[str] | None, Query(validation_alias="type")] = None
    ) -> str:
        return deep

    @router.get("/spans")
    def spans(span: Annotated[Span, Query()]) -> int:
        return span.from_

    app = FastAPI()
    app.state.services = services(two_tenants())
    app.include_router(router)
    client = TestClient(app, headers=ADMIN)

    def status(url: str) -> int:
        return client.get(url).status_code

    assert {status(f"/v1/things?{one}") for one in ("page-size=1&sort=x", "type=a&type=b", "")} == {200}
    assert {status(f"/v1/things?{one}") for one in ("size=1", "page_size=1", "kind=a", "deep=x", "sort=a&sort=b")} == {
        422
    }
    assert {status(f"/v1/spans?{one}") for one in ("from=1", "days=1&days=2", "")} == {200}
    assert {status(f"/v1/spans?{one}") for one in ("span=1", "from_=1", "from=1&from=2")} == {422}


def test_what_mail_gateways_append_to_public_links_changes_nothing() -> None:
    """They append parameters to count clicks; the recipient would blame us for a broken link."""
    html = Tracker(base="", key=KEY.encode()).tracked(
        "<a href='https://x.test/?a=1'>",
        Tracked(opens=True, clicks=True),
        message_id=MESSAGE,
        made_at=NOW - timedelta(hours=1),
    )
    link, pixel, leave = html.split("'")[1], html.split('"')[1], f"/u/{sign(MESSAGE, key=KEY.encode())}"
    events = MemoryEvents()
    app = create_app(services(Memory(), events=events))
    client = TestClient(app, base_url="http://mail.example", follow_redirects=False)
    real = {"/c/{token}": link, "/o/{token}.gif": pixel, "/u/{token}": leave}
    public = [(method, path) for method, path in routes_of(app) if not path.startswith("/v1")]
    public = [
        (method, path) for method, path in public if path.startswith(("/u/", "/c/", "/o/", "/hooks/", "/static/"))
    ]

    for method, path in [*public, ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics"), ("GET", "/docs")]:
        url = real.get(path, filled(path))
        plain, added = client.request(method, url), client.request(method, f"{url}?{ADDED}")
        assert (added.status_code, added.headers.get("location")) == (plain.status_code, plain.headers.get("location"))
        assert added.status_code in ((200, 302) if not path.startswith("/hooks/") else (403, 404)), (method, path)

    one_click = client.post(f"{leave}?{ADDED}", data={"List-Unsubscribe": "One-Click"})
    assert one_click.status_code == 200
    assert client.get(f"{link}?{ADDED}").headers["location"] == "https://x.test/?a=1"
    assert set(events.events) == {f"unsubscribe-{MESSAGE}"}
    assert len(public) >= 10


def test_pages_pass_over_what_they_do_not_know() -> None:
    """A person follows a link from a mail or a chat, to which words were appended, and expects the page."""
    memory = two_tenants()
    filed = memory.file(an_item(html="<p>Hi</p>"))
    client = TestClient(create_app(services(memory)), base_url="http://mail.example", headers=ADMIN)

    for path in ("/", "/inboxes/ann@acme.test", f"/items/{filed.id}", f"/items/{filed.id}/html", "/quarantine"):
        answer = client.get(f"{path}?{ADDED}")
        assert (answer.status_code, answer.text) == (200, client.get(path).text), path
