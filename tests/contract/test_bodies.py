"""Limits of request bodies on every route of the application: a new route without a limit or a key fails here first."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, get_type_hints

import pytest
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Mount, Route

from mailroom.api.app import create_app
from mailroom.api.bodies import BODY_LIMITS, DEFAULT, KEY_FIRST, BodyPace, body_limit
from mailroom.api.hooks.provider_events import Body
from mailroom.delivery.provider_events.fields import MOST_BODY_BYTES
from mailroom.domain.outbound.message import LIMITS
from mailroom.testing.api import TestClient
from tests.support.batch_requests import ACME, ADMIN, batch, message

PIECE = 16_000


@dataclass
class Asked:
    """A request as the server passes it to the application, and its response."""

    app: Any
    method: str
    path: str
    pieces: int
    headers: dict[str, str] = field(default_factory=dict)
    silent_after: int | None = None
    read: int = 0
    answered: list[Any] = field(default_factory=list)

    def status(self) -> int:
        head, _, query = self.path.partition("?")
        scope = {
            "type": "http",
            "method": self.method,
            "path": head,
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in self.headers.items()],
        }
        asyncio.run(self.app(scope, self.receive, self.send))
        return int(self.answered[0]["status"])

    async def receive(self) -> dict[str, Any]:
        if self.silent_after is not None and self.read >= self.silent_after * PIECE:
            await asyncio.sleep(30)
        self.read += PIECE
        return {"type": "http.request", "body": b" " * PIECE, "more_body": self.read < self.pieces * PIECE}

    async def send(self, message: Any) -> None:
        self.answered.append(message)

    def said(self, name: str) -> str | None:
        return {key.decode(): value.decode() for key, value in self.answered[0]["headers"]}.get(name)


def inside(routes: list[BaseRoute]) -> Iterator[BaseRoute]:
    """Yield every route; an included router counts as one route."""
    for route in routes:
        router = getattr(route, "original_router", None)
        if router is None:
            yield route
        else:
            yield from inside(router.routes)


def walked(api: TestClient) -> list[tuple[str, str, BaseRoute]]:
    """Return method, path and route of everything that the application answers."""
    found = list[tuple[str, str, BaseRoute]]()
    for route in inside(api.app.routes):  # type: ignore[attr-defined]
        assert isinstance(route, (Route, Mount)), "another kind of route: is it behind the limits?"
        path = route.path.replace(":path", "").replace("{", "").replace("}", "")
        methods = (route.methods or {"GET"}) if isinstance(route, Route) else {"GET"}
        found += [(method, path + ("/x" if isinstance(route, Mount) else ""), route) for method in sorted(methods)]
    assert len(found) > 60
    return found


def at_pace(api: TestClient, pace: BodyPace) -> Any:
    return create_app(api.app.state.services, pace=pace)  # type: ignore[attr-defined]


def takes_body(route: BaseRoute) -> bool:
    if not isinstance(route, APIRoute):
        return False
    declared = "requestBody" in (route.openapi_extra or {})
    takes_bytes = Body in get_type_hints(route.endpoint, include_extras=True).values()
    return declared or takes_bytes or route.body_field is not None


def test_no_route_reads_a_byte_of_a_body_without_a_key(api: TestClient) -> None:
    """60 MB from an anonymous client took 1.5 GB: FastAPI reads the body before it checks the key."""
    for method, path, _ in walked(api):
        if not path.startswith(KEY_FIRST):
            continue
        for headers in ({}, {"Content-Length": "60000000"}, {"Authorization": "Bearer wrong"}):
            asked = Asked(api.app, method, path, 4_000, headers)

            assert (asked.status(), asked.read) == (401, 0), (method, path)
            assert asked.said("connection") == "close"


def test_what_takes_a_body_takes_it_behind_a_key_or_a_signature(api: TestClient) -> None:
    """Pages have another kind of key, which is checked after the body: none of them may take a body."""
    taking = [path for _, path, route in walked(api) if takes_body(route)]

    assert len(taking) > 9
    assert [path for path in taking if not path.startswith((KEY_FIRST, "/hooks/"))] == []


def test_every_route_refuses_a_longer_body_than_it_takes_unread(api: TestClient) -> None:
    """Also routes without a body, under any method: an unread body is buffered all the same."""
    ways = {(method, path) for method, path, _ in walked(api)}
    ways |= {(method, path) for _, path in ways for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE")}
    for method, path in sorted(ways | {("GET", "/nowhere"), ("PUT", "/v1/nowhere")}):
        most = body_limit(method, path).most
        asked = Asked(api.app, method, path, 4_000, ADMIN | {"Content-Length": str(most + 1)})

        assert (asked.status(), asked.read) == (413, 0), (method, path)
        assert asked.said("content-type") == "application/problem+json"
        assert asked.said("connection") == "close"


def test_every_route_stops_reading_at_its_limit(api: TestClient) -> None:
    """A body without a declared length is read only up to the limit, whether the route takes one or not."""
    for method, path, _ in walked(api):
        most = body_limit(method, path).most
        asked = Asked(api.app, method, path, 4_000, ADMIN | {"Transfer-Encoding": "chunked"})

        assert asked.status() == 413, (method, path)
        assert most < asked.read <= most + PIECE


def test_the_limits_are_those_that_are_documented(api: TestClient) -> None:
    """docs/operations.md has this table; a route with another limit must be listed here."""
    limits = {(method, path): body_limit(method, path).most for method, path, _ in walked(api)}
    special = {way: most for way, most in limits.items() if most != DEFAULT.most}

    assert DEFAULT.most == 65_536
    assert {way: most for way, most in special.items() if not way[1].startswith("/hooks/")} == {
        ("POST", "/v1/batches"): LIMITS.body,
        ("POST", "/v1/suppressions"): 524_288,
        ("POST", "/v1/addresses"): 1_048_576,
    }
    assert {most for (_, path), most in special.items() if path.startswith("/hooks/")} == {MOST_BODY_BYTES}
    assert set(BODY_LIMITS) <= set(limits)


def test_a_body_at_its_limit_is_taken(api: TestClient) -> None:
    """A thousand of the longest addresses fit, and a batch of exactly 40 MiB is read."""
    label = "x" * 60
    addresses = [f"{at:064}@{label}.{label}.{label}.test" for at in range(1_000)]
    longest = json.dumps({"addresses": addresses}, indent=4).encode()
    padded = json.dumps({"hour": 5}).encode().ljust(DEFAULT.most)

    assert api.post("/v1/suppressions", content=longest, headers=JSON).json() == {"added": 1_000}
    assert api.put("/v1/quotas", content=padded, headers=ADMIN | JSON).status_code == 200
    assert api.put("/v1/quotas", content=padded + b" ", headers=ADMIN | JSON).status_code == 413
    assert api.post("/v1/batches", content=json.dumps(batch()).encode().ljust(LIMITS.body)).status_code == 202


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("path", ["/v1/batches", "/v1/webhooks", "/v1/suppressions", "/hooks/inbound", "/u/x"])
@pytest.mark.parametrize("length", [{}, {"Content-Length": "64000"}], ids=["chunked", "declared"])
def test_a_body_that_stops_coming_is_given_up(api: TestClient, path: str, length: dict[str, str]) -> None:
    """A request that stays open for ever holds its bytes in memory, and a connection."""
    app = at_pace(api, BodyPace(silence_s=0.2))
    asked = Asked(app, "POST", path, 4, ACME | JSON | length, silent_after=2)

    status = asked.status()

    if path == "/u/x" and length:
        assert status == 404, "nothing of it is read"
        return
    assert (status, asked.said("connection"), asked.read) == (408, "close", 2 * PIECE)


def test_a_body_that_trickles_is_given_up(api: TestClient) -> None:
    """A byte now and then is not silence: the average rate counts."""
    app = at_pace(api, BodyPace(silence_s=0.2, bytes_per_s=1e9))
    asked = Asked(app, "POST", "/v1/batches", 4_000, ACME)
    receive = asked.receive

    async def trickling() -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return await receive()

    asked.receive = trickling  # type: ignore[method-assign]

    assert asked.status() == 408
    assert asked.read < 10 * PIECE


def test_a_client_that_disconnects_is_not_a_server_error(api: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """It was logged as an error that needs a person."""
    asked = Asked(api.app, "POST", "/v1/batches", 4, ACME)

    async def leaves() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    asked.receive = leaves  # type: ignore[method-assign]
    scope = {"type": "http", "method": "POST", "path": "/v1/batches", "query_string": b""}
    asyncio.run(api.app(scope | {"headers": [(b"authorization", ACME["Authorization"].encode())]}, leaves, asked.send))

    assert asked.answered == []
    assert caplog.records == []


def test_a_short_unread_body_keeps_the_connection_open(api: TestClient) -> None:
    """Mail programs post a few bytes to unsubscribe; closing the connection each time would be costly."""
    asked = Asked(api.app, "POST", "/u/x", 1, {"Content-Length": str(PIECE)})

    assert (asked.status(), asked.said("connection"), asked.read) == (404, None, 0)


def test_faults_of_the_query_are_reported_before_the_body_is_read(api: TestClient) -> None:
    """A misspelt parameter or an impossible tenant is refused before 40 MiB are transferred."""
    for query in ("dryrun=true", "tenant=No+Name"):
        asked = Asked(api.app, "POST", f"/v1/batches?{query}", 2_000, ADMIN | {"Content-Length": "32000000"})

        assert (asked.status(), asked.read) == (422, 0)
        assert asked.said("connection") == "close"


def test_a_batch_may_still_come_in_any_pieces(api: TestClient) -> None:
    """A chunk may end within a character."""
    content = json.dumps(batch(message(subject="Grüße 🎉")), ensure_ascii=False).encode()

    answer = api.post("/v1/batches", content=(content[at : at + 1] for at in range(len(content))))

    assert answer.status_code == 202
