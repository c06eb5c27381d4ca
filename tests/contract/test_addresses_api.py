"""`/v1/addresses` on PostgreSQL: list, add in bulk, change and remove, each said before it is done."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from mailroom.adapters.postgres.tenants.addresses import SqlAddresses
from mailroom.api.app import create_app
from mailroom.domain.inbound.routing import Address
from mailroom.testing.api import Memory, TestClient
from tests.support.batch_requests import ACME, ADMIN, HOLDERS, UMBRELLA


@pytest.fixture
def api(engine: Engine) -> TestClient:
    memory, book = Memory(), SqlAddresses(engine)
    memory.keys.holders.update(HOLDERS)
    book.add_all([Address("anna@acme.test", "acme", "anna"), Address("@acme.test", "acme", "front")])
    book.add(Address("@*.acme.test", "umbrella", "all"))
    return TestClient(create_app(replace(memory.services(), addresses=book)), headers=ADMIN)


def listed(api: TestClient, **query: Any) -> list[tuple[str, str]]:
    headers = query.pop("headers", ADMIN)
    answer = api.get("/v1/addresses", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return [(one["address"], one["tenant"]) for one in answer.json()["items"]]


def test_a_tenants_key_lists_its_own_addresses_and_changes_none(api: TestClient) -> None:
    """An address takes mail, perhaps another tenant's: who gives it is the operator."""
    assert listed(api, headers=ACME) == [("@acme.test", "acme"), ("anna@acme.test", "acme")]
    assert listed(api, headers=UMBRELLA, address="anna@acme.test") == []
    assert listed(api, headers=UMBRELLA, address="*@*.ACME.test") == [("@*.acme.test", "umbrella")]
    assert listed(api, tenant="umbrella") == [("@*.acme.test", "umbrella")]
    assert api.get("/v1/addresses?tenant=acme", headers=UMBRELLA).status_code == 404
    body = {"addresses": [{"address": "spy@acme.test"}]}
    assert api.post("/v1/addresses", json=body, headers=UMBRELLA).status_code == 403
    assert api.patch("/v1/addresses?address=@*.acme.test", json={"user": "x"}, headers=UMBRELLA).status_code == 403
    assert api.delete("/v1/addresses?address=@*.acme.test", headers=UMBRELLA).status_code == 403
    assert len(listed(api)) == 3


def test_pages_of_the_list_follow_each_other(api: TestClient) -> None:
    """With the cursor of each page."""
    found, query = [], {"limit": 1}
    while True:
        page = api.get("/v1/addresses", params=query).json()
        found += [one["address"] for one in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]

    assert found == ["@*.acme.test", "@acme.test", "anna@acme.test"]
    assert api.get("/v1/addresses?cursor=garbage").status_code == 422


def test_addresses_are_added_all_or_none_and_a_dry_run_adds_none(api: TestClient) -> None:
    """In their stored spelling; one that is there stays as it is."""
    body = {
        "addresses": [
            {"address": "Bob@Acme.test", "processor": "digest"},
            {"address": "*@*.acme.test", "user": "all"},
            {"address": "anna@acme.test", "user": "eve"},
        ]
    }
    preview = api.post("/v1/addresses?tenant=acme&dry_run=true", json=body)
    before = listed(api, tenant="acme")
    added = api.post("/v1/addresses?tenant=acme", json=body)

    assert (preview.status_code, added.status_code) == (200, 201)
    documented = api.get("/openapi.json").json()["paths"]["/v1/addresses"]["post"]["responses"]
    assert {"200", "201"} <= documented.keys()
    assert preview.json() == added.json() | {"dry_run": True}
    assert added.json()["addresses"] == [
        {"address": "bob@acme.test", "user": "bob", "processor": "digest", "added": True},
        {"address": "@*.acme.test", "user": "all", "processor": "inbox", "added": True},
        {"address": "anna@acme.test", "user": "anna", "processor": "inbox", "added": False},
    ]
    assert added.json()["added"] == 2
    assert len(before) == 2
    assert len(listed(api, tenant="acme")) == 4


def test_as_many_as_the_api_takes_fit_into_one_request(api: TestClient) -> None:
    """A thousand of a large customer, each with its user, are more than the 64 kB of other routes."""
    many = [{"address": f"first.surname-{at:04}@acme.test", "user": f"first.surname-{at:04}"} for at in range(1000)]

    assert api.post("/v1/addresses?tenant=acme", json={"addresses": many}).json()["added"] == 1000


def test_each_fault_is_named_by_its_place_and_nothing_is_added(api: TestClient) -> None:
    """The words are constant: an address in an error would reach logs."""
    body = {
        "addresses": [
            {"address": "carl@acme.test"},
            {"address": "secret at acme"},
            {"address": "Carl@acme.test"},
            {"address": "dora@acme.test", "processor": "none"},
            {"address": "emil@acme.test", "user": "a\x00b"},
            {"address": "*@*.test"},
        ]
    }
    answer = api.post("/v1/addresses?tenant=acme", json=body)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [one["where"][2] for one in answer.json()["errors"]] == ["1", "2", "3", "4", "5"]
    assert "secret" not in answer.text
    assert len(listed(api, tenant="acme")) == 2


@pytest.mark.parametrize(
    "body",
    [{}, {"addresses": []}, {"addresses": [{"address": "x@y.test"}] * 1001}, {"addresses": [{"email": "x@y.test"}]}],
)
def test_a_request_without_addresses_or_with_too_many_is_refused(api: TestClient, body: dict[str, Any]) -> None:
    """A field of another name must fail: it would silently do nothing."""
    assert api.post("/v1/addresses?tenant=acme", json=body).status_code == 422
    assert api.post("/v1/addresses?tenant=UPPER", json={"addresses": [{"address": "x@y.test"}]}).status_code == 422


def test_a_change_says_what_was_and_what_happens_to_the_mail(api: TestClient) -> None:
    """For mail that is routed from now on; a dry run changes nothing."""
    query = {"address": "anna@acme.test", "tenant": "acme"}
    preview = api.patch("/v1/addresses", params=query | {"dry_run": "true"}, json={"user": "ann"}).json()
    unchanged = api.get("/v1/addresses", params=query).json()["items"][0]
    changed = api.patch("/v1/addresses", params=query, json={"user": "ann", "processor": "digest"}).json()
    now = api.get("/v1/addresses", params=query).json()["items"][0]

    assert (preview["before"]["user"], preview["after"]["user"], unchanged["user"]) == ("anna", "ann", "anna")
    assert (changed["after"], now["user"], now["processor"]) == (now, "ann", "digest")
    assert changed["mail"]["under_way"] == 0
    assert len(changed["mail"]["what_happens"]) == 3
    assert api.patch("/v1/addresses", params=query, json={"processor": "none"}).status_code == 422
    assert api.patch("/v1/addresses?address=x@y.test&tenant=acme", json={"user": "x"}).status_code == 404


def test_a_removal_says_where_mail_goes(api: TestClient) -> None:
    """The dry run says the same beforehand; what a tenant does not have is not removed."""
    query = {"address": "Anna@acme.test", "tenant": "acme"}
    preview = api.delete("/v1/addresses", params=query | {"dry_run": "true"})
    before = listed(api, tenant="acme")
    removed, again = api.delete("/v1/addresses", params=query), api.delete("/v1/addresses", params=query)
    last = api.delete("/v1/addresses", params=query | {"address": "*@acme.test"}).json()

    assert (preview.status_code, removed.status_code, again.status_code) == (200, 200, 404)
    assert removed.json() | {"dry_run": True} == preview.json()
    assert removed.json()["mail"]["address"] == "anna@acme.test"
    assert removed.json()["mail"]["what_happens"][-1] == "its mail goes to tenant acme (domain)"
    assert "no_route" in last["mail"]["what_happens"][-1]
    assert (len(before), listed(api, tenant="acme")) == (2, [])
    assert api.delete("/v1/addresses?address=@*.acme.test&tenant=acme").status_code == 404
    assert len(listed(api)) == 1
    assert api.delete("/v1/addresses?tenant=acme").status_code == 422
    assert api.delete("/v1/addresses?tenant=acme&address=no+address").status_code == 422
