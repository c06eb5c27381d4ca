"""The routes and the page of API keys on PostgreSQL: what a key may give to another, a secret that is shown once, one 401."""

import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.tenants.api_keys import SqlApiKeys
from mailroom.api.app import create_app
from mailroom.api.key_uses import KeyUses
from mailroom.domain.api_keys import key_digest, new_key
from mailroom.testing.api import BROWSER, Memory, TestClient
from tests.support.inboxes import SqlInstallation

PRESSED = {"Sec-Fetch-Site": "same-origin"}
LATER = (datetime.now(UTC) + timedelta(days=30)).isoformat()


class World:
    """The service on PostgreSQL, with one key of the installation that was made by SQL."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.keys = engine, SqlApiKeys(engine)
        SqlInstallation(engine)
        with engine.begin() as connection:
            made = "insert into api_key (sha256, name, tenant, created_at) values (:sha256, 'root', null, now())"
            connection.execute(text(made), {"sha256": key_digest("root-key")})
        services = replace(
            Memory().services(), keys=self.keys, key_uses=KeyUses(self.keys), now=lambda: datetime.now(UTC)
        )
        self.client = TestClient(create_app(services), base_url="http://mail.example", follow_redirects=False)

    def ask(self, method: str, path: str, key: str = "root-key", **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {key}"} | more.pop("headers", {})
        return self.client.request(method, path, headers=headers, **more)

    def made(self, *scopes: str, key: str = "root-key", tenant: str | None = "acme", **more: Any) -> dict[str, Any]:
        body = {"name": "shop", "scopes": list(scopes)} | more
        params = {} if tenant is None else {"tenant": tenant}
        answer = self.ask("POST", "/v1/keys", key, params=params, json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def stored(self) -> str:
        with self.engine.connect() as connection:
            return str(
                connection.execute(
                    text("select jsonb_agg(to_jsonb(api_key) - 'last_used_at') from api_key")
                ).scalar_one()
            )


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine)


def test_a_key_is_shown_once_and_works_at_once(world: World) -> None:
    """Its digest and first characters are all that is stored, and all that any response says later."""
    made = world.made("send", "inbox:Ada@ACME.test", ends_at=LATER)
    key = made.pop("key")

    shown, listed = (world.ask("GET", path).json() for path in (f"/v1/keys/{made['id']}", "/v1/keys?tenant=acme"))

    assert re.fullmatch(r"mr_[\w-]{43}", key)
    assert shown == made
    assert listed == {"items": [made], "next": None}
    assert (made["scopes"], made["starts"], made["state"]) == (["inbox:ada@acme.test", "send"], key[:8], "active")
    assert (made["made_by"], made["tenant"], made["last_used_at"]) == ("root", "acme", None)
    assert key not in world.stored()
    assert world.ask("GET", "/v1/webhooks", key).status_code == 404
    assert world.ask("GET", "/v1/inbound", key).status_code == 403


def test_wrong_ended_and_revoked_keys_get_the_same_answer(world: World) -> None:
    """Else a thief would learn that a key was right once. It is refused from the next request on."""
    revoked, rotated = world.made("send"), world.made("send")
    world.ask("POST", f"/v1/keys/{rotated['id']}/rotate", json={"overlap_s": 0})
    assert world.ask("GET", "/v1/breakers", revoked["key"]).status_code == 404
    answer = world.ask("POST", f"/v1/keys/{revoked['id']}/revoke").json()

    bad = [revoked["key"], rotated["key"], new_key(), revoked["key"][:-1], "mr_", "\x7f"]
    said = {(one.status_code, one.text) for key in bad for one in [world.ask("GET", "/v1/breakers", key)]}
    pages = {(one.status_code, one.text) for key in bad for one in [world.ask("GET", "/keys", key, headers=BROWSER)]}

    assert (answer["state"], answer["revoked_by"]) == ("revoked", "root")
    assert len(said) == len(pages) == 1
    assert next(iter(said))[0] == next(iter(pages))[0] == 401


def test_a_rotated_key_and_the_new_one_work_for_the_overlap(world: World) -> None:
    """24 hours by default; the new key has the same name and scopes."""
    old = world.made("archive")

    new = world.ask("POST", f"/v1/keys/{old['id']}/rotate", json={}).json()

    assert {world.ask("GET", "/v1/inbound", one["key"]).status_code for one in (old, new)} == {200}
    assert (new["name"], new["scopes"], new["made_by"]) == (old["name"], old["scopes"], "root")
    shown = world.ask("GET", f"/v1/keys/{old['id']}").json()
    left = datetime.fromisoformat(shown["ends_at"]) - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(hours=24)
    assert shown["replaced_by"] == new["id"]
    assert world.ask("POST", f"/v1/keys/{old['id']}/rotate").status_code == 409


def test_a_key_gives_no_more_than_it_has(world: World) -> None:
    """Neither another tenant, nor the installation, nor a longer life; and without `administer` nothing at all."""
    ours = world.made("administer")["key"]
    ending = world.made("administer", ends_at=LATER)
    after = (datetime.now(UTC) + timedelta(days=60)).isoformat()

    def status(key: str, path: str = "/v1/keys", **body: Any) -> int:
        return int(world.ask("POST", path, key, json={"name": "x", "scopes": ["send"]} | body).status_code)

    for scope in ("send", "archive", "inbox:ada@acme.test"):
        key = world.made(scope)["key"]
        answer = world.ask("POST", "/v1/keys", key, json={"name": "x", "scopes": [scope]})
        assert (answer.status_code, answer.json()["needs"]) == (403, ["administer"])
    assert status(ours) == 201
    assert status(ours, "/v1/keys?tenant=other") == 404
    assert status(ours, installation=True) == 422
    assert status(ours, "/v1/keys", scopes=["administer"]) == 201
    assert [status(ending["key"]), status(ending["key"], ends_at=after)] == [403, 403]
    assert status(ending["key"], ends_at=(datetime.now(UTC) + timedelta(days=1)).isoformat()) == 201
    endless = world.made("send")
    refused = world.ask("POST", f"/v1/keys/{endless['id']}/rotate", ending["key"])
    assert (refused.status_code, refused.json()["detail"].rpartition("; ")[2]) == (
        403,
        "rotate it with a key that does.",
    )
    whole = world.made(tenant=None, installation=True)
    assert (whole["tenant"], whole["scopes"]) == (None, ["administer"])
    assert world.ask("POST", f"/v1/keys/{whole['id']}/rotate", ours).status_code == 404
    assert world.ask("POST", f"/v1/keys/{whole['id']}/revoke", ours).status_code == 404


def test_a_field_that_is_not_valid_is_named(world: World) -> None:
    """Before anything is stored."""
    before, wrong = world.stored(), []
    for path, body, where in (
        ("?tenant=acme", {"name": ""}, "name"), ("?tenant=acme", {"name": "cli"}, "name"),
        ("?tenant=acme", {"scopes": []}, "scopes"), ("?tenant=acme", {"scopes": ["read"]}, "scopes"),
        ("?tenant=acme", {"scopes": ["inbox:x"]}, "scopes"), ("?tenant=acme", {"ends_at": "2020-01-01"}, "ends_at"),
        ("", {}, "installation"), ("?tenant=acme", {"installation": True}, "installation"),
        ("", {"installation": True}, "scopes"), ("?tenant=acme", {"scope": ["send"]}, "scope"),
        ("?tenant=acme", {"scopes": ["send"] * 101}, "scopes"),
    ):  # fmt: skip
        answer = world.ask("POST", f"/v1/keys{path}", json={"name": "x", "scopes": ["send"]} | body)
        named = answer.status_code == 422 and any(where in fault["where"] for fault in answer.json()["errors"])
        wrong += [] if named else [(body, answer.text)]

    assert wrong == []
    assert world.stored() == before


def test_the_last_use_is_seen_soon_and_no_request_waits_for_it(world: World) -> None:
    """A thread writes it; a second use in the same minute writes nothing."""
    made = world.made("archive")
    world.ask("GET", "/v1/inbound", made["key"])
    deadline = time.monotonic() + 20
    while (line := world.keys.find(None, made["id"])) and line.last_used_at is None and time.monotonic() < deadline:
        time.sleep(0.05)
    world.ask("GET", "/v1/inbound", made["key"])

    assert line is not None
    assert line.last_used_at is not None
    assert world.keys.find(None, made["id"]) == line


def test_the_page_adds_rotates_and_revokes(world: World) -> None:
    """Each new key is on one page, once; the list has its first characters."""
    form = {"name": "desk <b>", "tenant": "acme", "scope": ["send", "archive"], "inboxes": "ada@acme.test, @b.test"}
    added = world.ask("POST", "/keys", data=form, headers=BROWSER | PRESSED)
    [key] = set(re.findall(r"mr_[\w-]{43}", added.text))
    [line] = world.keys.all("acme", after=None, limit=9).lines

    listed = world.ask("GET", "/keys", headers=BROWSER).text
    turned = world.ask("POST", f"/keys/{line.id}/rotate?hours=0", headers=BROWSER | PRESSED)
    [second] = set(re.findall(r"mr_[\w-]{43}", turned.text))
    revoked = world.ask("POST", f"/keys/{world.keys.find(None, line.id).replaced_by}/revoke", headers=BROWSER | PRESSED)  # type: ignore[union-attr]

    assert (added.status_code, turned.status_code, revoked.status_code) == (201, 201, 303)
    assert line.scopes == ("archive", "inbox:@b.test", "inbox:ada@acme.test", "send")
    assert "desk &lt;b&gt;" in listed
    assert key[:8] in listed
    assert key not in listed
    assert world.ask("GET", "/v1/inbound", key).status_code == 401
    assert world.ask("GET", "/v1/inbound", second).status_code == 401
    assert added.headers["cache-control"] == "no-store"


def test_the_page_keeps_the_form_and_says_what_is_wrong(world: World) -> None:
    """A fault is no reason to type everything again; a form from another site adds nothing."""
    before = world.stored()
    form = {"name": "desk", "tenant": "acme", "scope": ["send"], "ends": "2020-01-01"}

    wrong = world.ask("POST", "/keys", data=form, headers=BROWSER | PRESSED)
    foreign = [
        world.ask("POST", "/keys", data=form, headers=BROWSER | one) for one in ({}, {"Sec-Fetch-Site": "cross-site"})
    ]
    odd = [
        world.ask("POST", "/keys", content=one, headers=BROWSER | PRESSED)
        for one in (b"\xff&%", b"a=1&" * 900, b"x" * 20_000)
    ]

    assert wrong.status_code == 422
    assert "the time is over" in wrong.text
    assert 'value="desk"' in wrong.text
    assert [one.status_code for one in foreign] == [403, 403]
    assert [one.status_code for one in odd] == [422, 422, 413]
    assert world.stored() == before


def test_a_tenants_page_has_its_own_keys_and_no_choice_of_tenant(world: World) -> None:
    """The field would be ignored, so it is not there; posting it changes nothing."""
    ours = world.made("administer", name="ours")["key"]
    world.made("send", name="theirs", tenant="other")

    page = world.ask("GET", "/keys", ours, headers=BROWSER).text
    added = world.ask(
        "POST", "/keys", ours, data={"name": "new", "tenant": "other", "scope": "send"}, headers=BROWSER | PRESSED
    )

    assert "ours" in page
    assert "theirs" not in page
    assert 'name="tenant"' not in page
    assert added.status_code == 201
    assert [one.name for one in world.keys.all("other", after=None, limit=9).lines] == ["theirs"]
