"""Sender addresses of a tenant: over HTTP and by command, on a real database."""

import json

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from mailroom.adapters.postgres.tenants.senders import SqlSenders
from mailroom.cli._app import app
from mailroom.domain.errors import ConfigurationError
from mailroom.testing.api import TestClient, settings
from tests.support.batch_requests import ADMIN, UMBRELLA, batch, kept, refused, submitted

NOT_ALLOWED = (["from"], "this tenant may not send from this address; see GET /v1/senders")


@pytest.fixture
def senders(engine: Engine) -> SqlSenders:
    return SqlSenders(engine)


@pytest.fixture
def _shell(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    for name, value in settings().environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MAILROOM_DATABASE_URL", database_url)


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("desk@acme.test", True),
        ("DESK@ACME.test", True),
        ("desk@bücher.test", True),
        ("ceo@acme.test", False),
        ("desk@sub.bücher.test", False),
        ("desk@umbrella.test", False),
    ],
)
def test_a_tenant_with_a_list_sends_from_nothing_else(
    api: TestClient, engine: Engine, senders: SqlSenders, address: str, may: bool
) -> None:
    """A leaked key must not send in the name of the management, nor of another customer."""
    for pattern in ("desk@acme.test", "@xn--bcher-kva.test"):
        senders.allow("acme", pattern)

    asked = batch(**{"from": f"Acme <{address}>"})

    if may:
        submitted(api, asked)
    else:
        assert refused(api, asked) == [NOT_ALLOWED]
    assert kept(engine) == int(may)


def test_a_tenant_without_a_list_sends_from_unclaimed_addresses(api: TestClient, senders: SqlSenders) -> None:
    """The first batch of a sandbox needs no list, and a domain in another tenant's list is taken."""
    senders.allow("umbrella", "@umbrella.test")

    submitted(api, batch())

    assert refused(api, batch(**{"from": "ceo@umbrella.test"})) == [NOT_ALLOWED]


def test_two_tenants_share_an_address(api: TestClient, senders: SqlSenders) -> None:
    """Two departments of one company send as one."""
    for tenant in ("acme", "umbrella"):
        senders.allow(tenant, "@group.test")

    submitted(api, batch(**{"from": "news@group.test"}))
    assert api.post("/v1/batches", json=batch(**{"from": "news@group.test"}), headers=UMBRELLA).status_code == 202


def test_an_administrator_is_held_to_the_tenants_list(api: TestClient, senders: SqlSenders) -> None:
    """An administrator who sends for a tenant sends as that tenant."""
    senders.allow("acme", "desk@acme.test")

    answer = api.post("/v1/batches", params={"tenant": "acme"}, json=batch(**{"from": "a@b.test"}), headers=ADMIN)

    assert answer.json()["errors"][0]["what"] == NOT_ALLOWED[1]


def test_a_preview_reports_it_too(api: TestClient, senders: SqlSenders) -> None:
    """A refusal must show before the batch is sent."""
    senders.allow("acme", "billing@acme.test")

    seen = api.post("/v1/batches", params={"dry_run": "true"}, json=batch()).json()

    assert [(fault["where"], fault["index"]) for fault in seen["invalid"]] == [(["from"], None)]


def test_only_an_administrator_changes_the_list(api: TestClient) -> None:
    """Otherwise the list would restrict nothing."""
    new, acme = {"pattern": "@Bücher.test"}, {"tenant": "acme"}

    assert api.post("/v1/senders", json=new).status_code == 403
    assert api.post("/v1/senders", params=acme, json=new, headers=ADMIN).status_code == 201
    assert api.get("/v1/senders").json() == {"tenant": "acme", "patterns": ["@xn--bcher-kva.test"]}
    assert api.delete("/v1/senders", params={"pattern": "@bücher.test"}).status_code == 403
    gone = {"pattern": "@bücher.test", "tenant": "acme"}
    assert [api.delete("/v1/senders", params=gone, headers=ADMIN).status_code for _ in range(2)] == [204, 404]
    assert api.get("/v1/senders").json()["patterns"] == []


@pytest.mark.parametrize("pattern", ["", "@", "acme.test", "@localhost", "a@b@c", "@*.acme.test", "@a\r\nb.test"])
def test_an_invalid_sender_pattern_is_refused(api: TestClient, pattern: str) -> None:
    """A pattern that matches nothing would silently lock a tenant out."""
    assert api.post("/v1/senders", json={"pattern": pattern}, headers=ADMIN).status_code == 422


@pytest.mark.usefixtures("_shell")
def test_a_command_shows_and_changes_it() -> None:
    """An operator with a shell needs no key."""

    def sender_command(*arguments: str) -> str:
        return CliRunner().invoke(app, ["tenant", "sender", "acme", *arguments], catch_exceptions=False).stdout

    assert sender_command() == "acme may send from any address that no other tenant has\n"
    assert sender_command("@acme.test") == "acme may send from @acme.test\n"
    assert json.loads(sender_command("--json")) == {"tenant": "acme", "patterns": ["@acme.test"]}
    assert "any address" in sender_command("@acme.test", "--remove")
    with pytest.raises(ConfigurationError, match="has no sender"):
        sender_command("@acme.test", "--remove")
    with pytest.raises(ConfigurationError, match="an address or @domain"):
        sender_command("acme")
