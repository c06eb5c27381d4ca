"""Batches and messages over HTTP on a real database: previews, cancels, lists, quotas, and tenant isolation."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.quotas import SqlQuotas
from mailroom.adapters.postgres.outbound.terms import SqlTerms
from mailroom.api.app import create_app
from mailroom.domain.outbound.message import LIMITS, Status
from mailroom.domain.outbound.quotas import Allowance, ProviderRate
from mailroom.ports.dispatch import Outcome
from mailroom.ports.provider import ProviderReceipt
from mailroom.testing.api import NOW, Memory, TestClient
from mailroom.testing.archive import MemoryArchive
from tests.support.batch_requests import (
    ACME,
    ADMIN,
    HOLDERS,
    UMBRELLA,
    batch,
    kept,
    message,
    provider_terms,
    sent,
    submitted,
)


def test_a_batch_is_answered_before_anything_is_sent_and_can_be_followed(api: TestClient) -> None:
    """The response has the ids by which the status of each mail is read later."""
    answer = api.post("/v1/batches", json=batch(message(metadata={"invoice": "7"})))

    output = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == output["url"] == f"/v1/batches/{output['id']}"
    shown = api.get(output["url"]).json()
    assert (shown["messages"], shown["statuses"], shown["from"]) == (1, {"accepted": 1}, "desk@acme.test")
    [line] = api.get("/v1/messages", params={"batch": output["id"]}).json()["items"]
    assert (line["to"], line["subject"], line["metadata"]) == ("ada@users.test", "Your invoice", {"invoice": "7"})
    assert api.get(f"/v1/messages/{line['id']}").json() == line
    [activity] = api.get(f"/v1/messages/{line['id']}/activities").json()["items"]
    assert activity["kind"] == "accepted"


def test_a_preview_returns_the_result_and_stores_nothing(api: TestClient, engine: Engine) -> None:
    """Before sending to thousands the caller sees who is reached, what it costs and when it is done."""
    api.post("/v1/suppressions", json={"addresses": ["bob@users.test"], "reason": "complained"})
    SqlQuotas(engine).allow("acme", Allowance(hour=1))
    asked = batch(
        message(),
        message(),
        message(to="bob@users.test"),
        message(to="nobody"),
        message(to="carl@users.test"),
    )

    answer = api.post("/v1/batches", params={"dry_run": "true"}, json=asked, headers={"Idempotency-Key": "k"})

    seen = answer.json()
    assert answer.status_code == 200
    assert (seen["messages"], seen["duplicates"], seen["suppressed"]) == (2, [1], [2])
    assert [(fault["index"], fault["where"]) for fault in seen["invalid"]] == [(3, ["messages", "3", "to"])]
    assert (seen["quota_cost"], seen["quota"]["hour"]["left"]) == (2, 1)
    assert seen["done_at"] == "2026-03-14T10:00:00Z"
    assert seen["size"] > 0
    assert kept(engine) == 0
    submitted(api, batch(message()), **{"Idempotency-Key": "k"})


def test_a_preview_and_a_batch_say_when_all_mails_are_sent(api: TestClient, engine: Engine) -> None:
    """By the provider's rate as well as by the quota; without either, at once."""
    asked = batch(*(message(to=f"u{at}@users.test") for at in range(5)))
    output = submitted(api, asked)
    before = api.get(output["url"]).json()["done_at"]
    SqlTerms(engine).publish(provider_terms(ProviderRate(per_second=0.5, per_day=100, sent_today=7)))

    seen = api.post("/v1/batches", params={"dry_run": "true"}, json=asked).json()
    shown = api.get(output["url"]).json()

    assert (before, shown["done_at"], seen["done_at"]) == (
        "2026-03-14T09:30:00Z",
        "2026-03-14T09:30:10Z",
        "2026-03-14T09:30:10Z",
    )
    pace = {name: seen["provider"][name] for name in ("name", "per_second", "per_day", "sent_today", "paused")}
    assert pace == {"name": "ses", "per_second": 0.5, "per_day": 100, "sent_today": 7, "paused": False}


def test_what_a_tenant_has_over_its_quota_goes_later_and_the_batch_says_when(
    api: TestClient, engine: Engine, archive: MemoryArchive
) -> None:
    """Deferred with a time, never failed: two an hour of five are done in the third hour."""
    SqlQuotas(engine).allow("acme", Allowance(hour=2))
    output = submitted(api, batch(*(message(to=f"u{at}@users.test") for at in range(5))))
    sent(engine, output["id"], archive)
    sent(engine, output["id"], archive)

    shown = api.get(output["url"]).json()

    assert shown["statuses"] == {"deferred": 3, "dispatched": 2}
    assert (shown["next_at"], shown["done_at"]) == ("2026-03-14T10:00:00Z", "2026-03-14T11:00:00Z")
    [line] = api.get("/v1/messages", params={"recipient": "u4@users.test"}).json()["items"]
    assert (line["reason"], line["due_at"]) == ("quota", "2026-03-14T10:00:00Z")


def test_a_paused_provider_gives_no_completion_time(api: TestClient, engine: Engine) -> None:
    """An invented time would be believed; terms published two days ago are not used either."""
    output = submitted(api, batch())
    terms = SqlTerms(engine)

    terms.publish(provider_terms(ProviderRate(paused=True)))
    paused = api.get(output["url"]).json()["done_at"]
    terms.publish(provider_terms(ProviderRate(paused=True), told_at=NOW - timedelta(days=2)))
    stale = api.get(output["url"]).json()["done_at"]

    assert (paused, stale) == (None, "2026-03-14T09:30:00Z")


def test_a_cancel_lists_exactly_what_was_sent(api: TestClient, engine: Engine, archive: MemoryArchive) -> None:
    """Someone who sent the wrong mail must know which recipients got it."""
    output = submitted(api, batch(message(), message(to="bob@users.test")))
    dispatch = SqlDispatch(engine)
    [claim] = dispatch.claim(output["id"], most=1, provider="ses", now=NOW)
    dispatch.settle([Outcome(claim.draft.id, 1, ProviderReceipt("ses", "0100"))], now=NOW)

    answer = api.post(f"/v1/batches/{output['id']}/cancel").json()

    gone = {"id": claim.draft.id, "to": "ada@users.test", "status": "dispatched"}
    assert answer == {"id": output["id"], "cancelled": 1, "gone": [gone]}
    assert api.get(output["url"]).json()["statuses"] == {"dispatched": 1, "cancelled": 1}
    assert api.patch(output["url"], json={"send_at": NOW.isoformat()}).status_code == 409


def test_a_batch_moves_to_another_time(api: TestClient) -> None:
    """Earlier or later, until it is sent."""
    later = NOW + timedelta(days=2)
    output = submitted(api, batch(send_at=(NOW + timedelta(days=1)).isoformat(), expires_at=later.isoformat()))

    moved = api.patch(output["url"], json={"send_at": (NOW + timedelta(hours=1)).isoformat()})

    assert (moved.status_code, moved.json()["messages"]) == (200, 1)
    assert api.get(output["url"]).json()["next_at"] == "2026-03-14T10:30:00Z"
    assert api.patch(output["url"], json={"send_at": later.isoformat()}).status_code == 422


@pytest.mark.parametrize(("second", "taken"), [(0, True), (1, False)])
def test_a_batch_is_rescheduled_as_far_ahead_as_it_may_be_scheduled(
    api: TestClient, second: int, *, taken: bool
) -> None:
    """A rescheduled batch could otherwise wait a day longer than a new one may."""
    far = (NOW + timedelta(days=LIMITS.schedule_days, seconds=second)).isoformat()
    output = submitted(api, batch())

    assert api.patch(output["url"], json={"send_at": far}).status_code == (200 if taken else 422)
    assert api.post("/v1/batches", json=batch(send_at=far)).status_code == (202 if taken else 422)


def test_messages_are_found_by_recipient_and_status_page_by_page(api: TestClient, engine: Engine) -> None:
    """Support looks up a recipient who says that no mail came."""
    submitted(api, batch(*(message(to=f"u{at}@users.test") for at in range(5))))

    pages, cursor = [], None
    while not pages or cursor:
        params = {"limit": 2, "status": "accepted"} | ({"cursor": cursor} if cursor else {})
        page = api.get("/v1/messages", params=params).json()
        pages.append([line["to"] for line in page["items"]])
        cursor = page["next"]

    assert [len(page) for page in pages] == [2, 2, 1]
    assert len({to for page in pages for to in page}) == 5
    assert api.get("/v1/messages", params={"recipient": "U3@users.test"}).json()["items"][0]["to"] == "u3@users.test"
    assert api.get("/v1/messages", params={"status": Status.SENDING}).json()["items"] == []


def test_suppressions_are_added_listed_and_released(api: TestClient) -> None:
    """A tenant reads and writes its own; an administrator also those of all tenants."""
    assert api.post("/v1/suppressions", json={"addresses": ["A@users.test", "b@users.test"]}).json() == {"added": 2}
    assert api.post("/v1/suppressions", json={"addresses": ["a@users.test"]}).json() == {"added": 0}
    api.post("/v1/suppressions", json={"addresses": ["a@users.test"]}, headers=ADMIN)
    mine = api.get("/v1/suppressions").json()["items"]
    narrowed = {"limit": 2, "tenant": "acme"}
    first = api.get("/v1/suppressions", params=narrowed, headers=ADMIN).json()
    second = api.get("/v1/suppressions", params=narrowed | {"cursor": first["next"]}, headers=ADMIN).json()

    listed = [(line["address"], line["tenant"]) for line in first["items"] + second["items"]]
    assert listed == [("a@users.test", None), ("a@users.test", "acme"), ("b@users.test", "acme")]
    assert [(line["address"], line["tenant"]) for line in mine] == listed[1:]
    assert api.delete("/v1/suppressions", params={"address": "a@users.test"}).status_code == 204
    assert api.delete("/v1/suppressions", params={"address": "a@users.test"}).status_code == 404
    [left] = api.get("/v1/suppressions", params={"address": "a@users.test"}, headers=ADMIN).json()["items"]
    assert left["tenant"] is None


def test_a_quota_is_shown_with_what_is_used_of_it(api: TestClient, engine: Engine, archive: MemoryArchive) -> None:
    """A tenant plans with what is left; only an administrator sets it."""
    limits = {"hour": 10, "day": 100, "month": None}
    assert api.put("/v1/quotas", json=limits).status_code == 403
    assert api.put("/v1/quotas", params={"tenant": "acme"}, json=limits, headers=ADMIN).status_code == 200
    sent(engine, submitted(api, batch())["id"], archive)

    shown = api.get("/v1/quotas").json()

    assert shown["hour"] == {"limit": 10, "used": 1, "left": 9, "resets_at": "2026-03-14T10:00:00Z"}
    assert (shown["month"]["limit"], shown["month"]["used"], shown["month"]["left"]) == (None, 1, None)


def test_another_tenants_ids_are_not_found(api: TestClient) -> None:
    """Every id of another tenant is answered like one that does not exist."""
    output = submitted(api, batch())
    [line] = api.get("/v1/messages").json()["items"]
    asked = [
        api.get(output["url"], headers=UMBRELLA),
        api.post(f"{output['url']}/cancel", headers=UMBRELLA),
        api.patch(output["url"], json={"send_at": NOW.isoformat()}, headers=UMBRELLA),
        api.get(f"/v1/messages/{line['id']}", headers=UMBRELLA),
        api.get(f"/v1/messages/{line['id']}/activities", headers=UMBRELLA),
        api.post("/v1/batches", params={"tenant": "acme"}, json=batch(), headers=UMBRELLA),
        api.get("/v1/batches/no-id"),
        api.get(f"/v1/messages/{uuid4()}"),
    ]

    assert [answer.status_code for answer in asked] == [404] * 8
    assert api.get("/v1/messages", headers=UMBRELLA).json()["items"] == []
    assert api.get("/v1/messages", params={"batch": output["id"]}, headers=UMBRELLA).json()["items"] == []


def test_an_administrator_sends_for_a_tenant(api: TestClient) -> None:
    """The sandbox's key is an administrator's, and its first batch must work before any tenant exists."""
    mine = api.post("/v1/batches", json=batch(), headers=ADMIN).json()
    theirs = api.post("/v1/batches", params={"tenant": "umbrella"}, json=batch(), headers=ADMIN).json()

    assert api.get(mine["url"], headers=ADMIN).json()["tenant"] == "default"
    assert api.get(theirs["url"], headers=UMBRELLA).json()["tenant"] == "umbrella"


@pytest.mark.parametrize("headers", [{"Authorization": ""}, {"Authorization": "Bearer wrong"}])
def test_a_batch_without_a_key_is_refused(api: TestClient, engine: Engine, headers: dict[str, str]) -> None:
    """An open relay is found and abused within hours."""
    assert api.post("/v1/batches", json=batch(), headers=headers).status_code == 401
    assert kept(engine) == 0


def test_an_installation_that_only_receives_says_so() -> None:
    """Its routes exist and answer 404; no batch is accepted that could never be sent."""
    memory = Memory()
    memory.keys.holders.update(HOLDERS)
    client = TestClient(create_app(memory.services()), headers=ACME)

    answers = [client.post("/v1/batches", json=batch()), client.get("/v1/messages"), client.get("/v1/quotas")]

    assert [answer.status_code for answer in answers] == [404] * 3
