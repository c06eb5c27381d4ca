"""`mailroom key` on PostgreSQL: add, list, rotate and revoke from the command line."""

import json
import re
from typing import Any

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from mailroom.adapters.postgres.tenants.api_keys import SqlApiKeys
from mailroom.cli.key import app
from mailroom.domain.api_keys import key_digest
from mailroom.domain.errors import ConfigurationError
from mailroom.ports.api_keys import Holder
from mailroom.settings import Settings


@pytest.fixture(autouse=True)
def keys(engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch) -> SqlApiKeys:
    """Settings of an installation that has only the database."""
    for name, field in Settings.model_fields.items():
        if field.is_required():
            monkeypatch.setenv(f"MAILROOM_{name.upper()}", "nowhere")
    monkeypatch.setenv("MAILROOM_DATABASE_URL", database_url)
    return SqlApiKeys(engine)


def run(*words: str) -> Any:
    return json.loads(CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False).stdout)


def said(*words: str) -> str:
    return CliRunner().invoke(app, list(words), catch_exceptions=False).stdout


def test_the_life_of_a_key(keys: SqlApiKeys) -> None:
    """What an operator does from the first day of a customer to the last; the tenant is new."""
    shop = run("add", "shop", "--tenant", "acme", "--scope", "send", "--scope", "inbox:Ada@acme.test", "--ends", "90d")
    assert keys.holder(key_digest(shop["key"])).scopes == ("inbox:ada@acme.test", "send")  # type: ignore[union-attr]
    assert re.fullmatch(r"mr_[\w-]{43}", shop["key"])
    assert shop["made_by"] == "cli"

    turned = run("rotate", "shop", "--overlap", "2d")
    assert turned["old"]["id"] == shop["id"]
    assert keys.holder(key_digest(shop["key"])) is not None
    assert [one["id"] for one in run("list", "--tenant", "acme")] == [turned["id"], shop["id"]]

    assert run("revoke", shop["starts"])["revoked_by"] == "cli"
    at_once = run("rotate", turned["id"], "--overlap", "0")
    assert [keys.holder(key_digest(one["key"])) is None for one in (shop, turned, at_once)] == [True, True, False]
    assert [one["state"] for one in run("list", "--all")] == ["active", "ended", "revoked"]
    assert "key" not in run("list")[0]


def test_a_name_that_the_old_and_the_new_key_have_revokes_neither(keys: SqlApiKeys) -> None:
    """Who means the old one that leaked must not revoke the new one; and a dry run promises nothing that will be refused."""
    shop = run("add", "shop", "--tenant", "acme", "--scope", "send")
    turned = run("rotate", "shop")

    with pytest.raises(ConfigurationError, match=f"2 keys are meant; use the id of one: {turned['id']}, {shop['id']}"):
        run("revoke", "shop")
    with pytest.raises(ConfigurationError, match="rotated before; rotate the key that replaced it"):
        run("rotate", shop["id"], "--dry-run")
    run("revoke", shop["id"])
    with pytest.raises(ConfigurationError, match="is revoked; add a new one"):
        run("rotate", shop["id"], "--dry-run")
    assert said("revoke", shop["id"], "--dry-run").startswith("revoked already; nothing would change: ")
    assert run("rotate", "shop", "--dry-run")["id"] == turned["id"]


def test_a_key_of_the_installation_is_asked_for_in_words(keys: SqlApiKeys) -> None:
    """A forgotten --tenant must not make one."""
    root = run("add", "root", "--installation")

    assert keys.holder(key_digest(root["key"])) == Holder("root")
    assert (root["tenant"], root["scopes"]) == (None, ["administer"])


def test_what_is_printed_says_who_and_what_and_the_key_once(keys: SqlApiKeys) -> None:
    """In lines for people; no list has the key."""
    printed = said("add", "desk", "--tenant", "acme", "--scope", "archive")
    [key] = re.findall(r"mr_[\w-]{43}", printed)
    listed = said("list")

    assert "shown only once" in printed
    assert key not in listed
    for word in (key[:8], "active", "desk of acme: archive", "by cli", "no end", "no use recorded"):
        assert word in listed
    assert said("list", "--tenant", "other").startswith("no keys; add one with `mailroom key add")
    assert said("revoke", key, "--dry-run").startswith("would be revoked: ")
    assert said("rotate", key, "--dry-run").startswith("would be rotated: ")
    assert keys.holder(key_digest(key)) is not None
    assert said("list") == listed


@pytest.mark.parametrize(
    "words",
    [
        ("add", "x"), ("add", "x", "--tenant", "acme"), ("add", "x", "--tenant", "acme", "--scope", "read"),
        ("add", "x", "--tenant", "A b", "--scope", "send"), ("add", "cli", "--tenant", "acme", "--scope", "send"),
        ("add", "x", "--installation", "--tenant", "acme"), ("add", "x", "--installation", "--scope", "send"),
        ("add", "x", "--tenant", "acme", "--scope", "send", "--ends", "2020-01-01"),
        ("add", "x", "--tenant", "acme", "--scope", "send", "--ends", "soon"),
        ("rotate", "x"), ("rotate", "twice"), ("rotate", "once", "--overlap", "5"), ("rotate", "once", "--overlap", "99d"),
        ("revoke", "x"), ("revoke", "twice"), ("revoke", "mr_"), ("revoke", ""),
    ],
)  # fmt: skip
def test_an_impossible_request_is_one_line_and_changes_nothing(words: tuple[str, ...]) -> None:
    """A name that two active keys have names none of them."""
    for name in ("once", "twice", "twice"):
        run("add", name, "--tenant", "acme", "--scope", "send")
    before = run("list", "--all")

    with pytest.raises(ConfigurationError):
        run(*words)

    assert run("list", "--all") == before
