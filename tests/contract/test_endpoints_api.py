"""The routes of tenants' webhooks: invalid URLs are refused, and another tenant's webhook is not found."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from mailroom.domain.delivery.events import Kind
from tests.support.batch_requests import ACME, ADMIN, UMBRELLA
from tests.support.tenant_endpoints import URL, Desk, Receiver


@pytest.fixture
def webhook_service(engine: Engine) -> Desk:
    return Desk(engine)


@pytest.mark.parametrize(
    "url",
    ["http://acme.test/", "ftp://acme.test/", "acme.test", "https://", "https://ann:pw@acme.test/", "https://a b/", "https://x:99999/",
     "https://acme.test/\n", "https://" + "a" * 2_000, "javascript:alert(1)", "https://[::1"],
)  # fmt: skip
def test_invalid_webhook_url_is_refused(webhook_service: Desk, url: str) -> None:
    """Plain http would expose addresses on the way; where a name resolves to is checked at each POST."""
    assert webhook_service.api.post("/v1/webhooks", json={"url": url}).status_code == 422


def test_unknown_events_and_too_many_webhooks_are_refused(webhook_service: Desk) -> None:
    """A misspelt event would never be sent; each webhook costs a row for each activity."""
    assert webhook_service.api.post("/v1/webhooks", json={"url": URL, "events": ["deliverd"]}).status_code == 422
    assert webhook_service.api.post("/v1/webhooks", json={"url": URL, "event": []}).status_code == 422

    answers = [webhook_service.api.post("/v1/webhooks", json={"url": URL}).status_code for _ in range(21)]

    assert answers == [201] * 20 + [409]


def test_secret_is_shown_once_and_never_again(webhook_service: Desk) -> None:
    """A later reader of the list must not be able to sign."""
    webhook = webhook_service.subscribe()
    webhook_service.report(webhook_service.send()[0], Kind.DELIVERED)
    webhook_service.notify(Receiver())

    for path in (
        "/v1/webhooks",
        f"/v1/webhooks/{webhook['id']}",
        f"/v1/webhooks/{webhook['id']}/attempts",
        "/webhooks",
        f"/webhooks/{webhook['id']}",
    ):
        answer = webhook_service.api.get(path)
        assert answer.status_code == 200
        assert webhook["secret"] not in answer.text


@pytest.mark.parametrize(
    "ask",
    [
        lambda api, id_, who: api.get(f"/v1/webhooks/{id_}", headers=who),
        lambda api, id_, who: api.delete(f"/v1/webhooks/{id_}", headers=who),
        lambda api, id_, who: api.post(f"/v1/webhooks/{id_}/enable", headers=who),
        lambda api, id_, who: api.get(f"/v1/webhooks/{id_}/attempts", headers=who),
        lambda api, id_, who: api.post(
            f"/v1/webhooks/{id_}/replay", json={"since": "2026-11-22T09:00:00Z"}, headers=who
        ),
    ],
    ids=["show", "remove", "enable", "attempts", "replay"],
)
def test_another_tenants_webhook_is_not_found(webhook_service: Desk, ask: Callable[..., Any]) -> None:
    """Nor is a malformed id; an administrator sees all of them."""
    webhook = webhook_service.subscribe()

    assert ask(webhook_service.api, webhook["id"], UMBRELLA).status_code == 404
    assert ask(webhook_service.api, "x' or 1=1", ACME).status_code == 404
    assert ask(webhook_service.api, webhook["id"], {"Authorization": "Bearer none"}).status_code == 401
    assert webhook_service.api.get("/v1/webhooks", headers=UMBRELLA).json()["items"] == []
    assert [one["id"] for one in webhook_service.api.get("/v1/webhooks", headers=ADMIN).json()["items"]] == [
        webhook["id"]
    ]
