"""Extreme times in every time field of the HTTP API; the fields are read from its OpenAPI document."""

import base64
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from mailroom.testing.api import NOW
from tests.support.background_loops import Installation
from tests.support.batch_requests import ACME, ADMIN, batch

#: Out of bounds, in UTC or only once converted to it, and malformed times.
REFUSED = [
    "0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00-01:00", "0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59+23:59", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59",
    "1970-01-01T00:59:59+01:00", "2999-12-31T23:00:00-01:00", "3000-01-01T00:00:00Z",
    "infinity", "-infinity", "10000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z", "1e400", "9223372036854775808", "NaN", "",
]  # fmt: skip
#: The first and the last valid moment, with both offsets.
TAKEN = [
    "1970-01-01T00:00:00Z", "1970-01-01T01:00:00+01:00", "1969-12-31T23:00:00-01:00",
    "2999-12-31T23:59:59Z", "3000-01-01T00:59:59+01:00", "2999-12-31T22:59:59-01:00",
]  # fmt: skip
#: Other required fields of a route, by the first word behind `/v1/`.
BESIDES = {
    "batches": batch(),
    "suppressions": {"addresses": ["cyd@users.test"]},
    "webhooks": {"since": "2026-03-13T00:00:00Z"},
}

Field = tuple[str, str, str, tuple[str, ...]]


@pytest.fixture
def installation(engine: Engine, database_url: str) -> Installation:
    made = Installation(engine, database_url)
    made.fill()
    return made


def time_fields(document: Mapping[str, Any]) -> Iterator[Field]:
    """Yield method, path, where (`query` or `body`) and place of every time that a request may hold."""

    def within(schema: Any, place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if not isinstance(schema, dict):
            return
        if "$ref" in schema:
            yield from within(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], place)
        if schema.get("format") in ("date-time", "date", "time"):
            yield place
        for word in ("anyOf", "oneOf", "allOf"):
            for one in schema.get(word, ()):
                yield from within(one, place)
        for name, one in schema.get("properties", {}).items():
            yield from within(one, (*place, name))
        yield from within(schema.get("items"), (*place, "*"))

    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "query":
                    for _ in within(parameter["schema"], ()):
                        yield method.upper(), path, "query", (parameter["name"],)
            for content in operation.get("requestBody", {}).get("content", {}).values():
                for place in within(content["schema"], ()):
                    yield method.upper(), path, "body", place


def ask(installation: Installation, field: Field, value: str, headers: dict[str, str]) -> Any:
    method, path, where, place = field
    named = path
    for name, id_ in installation.ids.items():
        named = named.replace(f"{{{name}}}", id_)
    if where == "query":
        return installation.client.request(method, named, params={place[0]: value}, headers=headers)
    body: Any = value
    for name in reversed(place):
        body = [body] if name == "*" else {name: body}
    besides = {} if method == "PATCH" else BESIDES.get(path.split("/")[2], {})
    return installation.client.request(method, named, json=besides | body, headers=headers)


def test_the_document_shows_the_times_that_requests_hold(installation: Installation) -> None:
    """Otherwise the tests below would pass without testing anything."""
    found = {(method, path, place[-1]) for method, path, _, place in time_fields(installation.app.openapi())}

    assert found >= {
        ("POST", "/v1/batches", "send_at"), ("POST", "/v1/batches", "expires_at"), ("PATCH", "/v1/batches/{batch_id}", "send_at"),
        ("POST", "/v1/suppressions", "expires_at"), ("GET", "/v1/inbound", "since"),
        ("POST", "/v1/webhooks/{webhook_id}/replay", "since"), ("POST", "/v1/webhooks/{webhook_id}/replay", "until"),
    }  # fmt: skip


def test_a_time_out_of_bounds_is_refused_by_its_name_in_every_field(installation: Installation) -> None:
    """After the conversion to UTC: a year 1 that becomes year 0 stopped every tenant's mail."""
    for field in time_fields(installation.app.openapi()):
        for value in REFUSED:
            answer = ask(installation, field, value, ACME)
            assert answer.status_code == 422, (field, value, answer.text)
            assert any(field[3][-1] in fault["where"] for fault in answer.json()["errors"]), (field, value, answer.text)


def test_no_time_that_is_taken_stops_a_list_a_page_a_metric_or_a_loop(installation: Installation) -> None:
    """For an administrator and for another tenant, whose batch is sent all the same."""
    answers = [
        ask(installation, field, value, headers).status_code
        for field in time_fields(installation.app.openapi())
        for value in [*TAKEN, (NOW + timedelta(hours=1)).isoformat()]
        for headers in (ACME, ADMIN)
    ]
    healthy = installation.fill_umbrella()

    for loop in installation.loops().values():
        loop()

    assert set(answers) <= {200, 201, 202, 404, 409, 422}
    assert {200, 201, 202} <= set(answers)
    assert {status for _, _, status in installation.reads()} <= {200, 404, 410}
    assert healthy in installation.relayed()
    assert "unusable time" not in installation.check()


@pytest.mark.parametrize("cursor", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "infinity"])
def test_a_cursor_with_a_time_out_of_bounds_is_refused(installation: Installation, cursor: str) -> None:
    """A cursor contains a time, and any client can write one."""
    forged = base64.urlsafe_b64encode(f"{cursor} 00000000-0000-0000-0000-000000000000".encode()).decode().rstrip("=")

    for path in ("/v1/messages", "/v1/inbound", "/batches", "/quarantine"):
        assert installation.client.get(path, params={"cursor": forged}, headers=ADMIN).status_code == 422


def test_a_time_without_an_offset_is_utc(installation: Installation) -> None:
    """As the document says, alike in bodies, queries and on the command line."""
    [first] = installation.client.get("/v1/inbound?since=2026-11-22T09:30:00&limit=1", headers=ADMIN).json()["items"]
    scheduled = batch(send_at=(NOW + timedelta(hours=2)).replace(tzinfo=None).isoformat())

    handed = installation.client.post("/v1/batches", json=scheduled, headers=ACME).json()["id"]

    assert first["received_at"] == "2026-11-22T09:30:00Z"
    assert installation.client.get(f"/v1/batches/{handed}", headers=ACME).json()["send_at"] == "2026-03-14T11:30:00Z"
