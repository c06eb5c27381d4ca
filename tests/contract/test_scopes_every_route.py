"""Every route of the application, requested by keys of each scope: what the table does not allow is refused, 403 or 404."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from mailroom.api.scopes import NEEDS, need_of
from mailroom.domain.api_keys import ARCHIVE, may_read
from mailroom.ports.api_keys import Holder
from mailroom.testing.api import BROWSER
from tests.contract.test_what_tenants_see import Installation
from tests.support.batch_requests import ACME, batch, message
from tests.support.inboxes import file

#: The scopes of each key; all keys are acme's.
KEYS = {
    "none": (),
    "send": ("send",),
    "anna": ("inbox:anna@acme.test",),
    "zoe": ("inbox:zoe@acme.test",),
    "archive": ("archive",),
}
ANNA, ZOE = "anna@acme.test", "zoe@acme.test"


class Scoped(Installation):
    """The installation with a key for each scope, and a second inbox of acme's, with a mail."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        holders = self.app.state.services.keys.holders
        holders.update({name: Holder(name, "acme", scopes) for name, scopes in KEYS.items()})
        self.zoes = str(file(engine, "acme", ZOE, files=1, words="'lease':1"))

    def ask(self, key: str, method: str, path: str, **ids: str) -> Any:
        named = re.sub(r"\{(\w+)(:\w+)?\}", lambda one: (self.ids | ids)[one[1]], path)
        body = {} if method in ("POST", "PUT", "PATCH") else None
        return self.client.request(method, named, json=body, headers={"Authorization": f"Bearer {key}"})

    def closed(self) -> Iterator[tuple[str, str]]:
        """Yield method and path of every route that needs a key, deleting routes last."""
        for route in sorted(NEEDS, key=lambda one: one.startswith("DELETE")):
            method, path = route.split()
            if not NEEDS[route].is_open:
                yield method, path


@pytest.fixture
def scoped(engine: Engine) -> Scoped:
    return Scoped(engine)


def test_each_route_answers_the_keys_of_the_table_and_no_other(scoped: Scoped) -> None:
    """403 names the scopes of which the key needs one; an inbox of which it may know nothing is 404."""
    wrong = []
    for key, held in KEYS.items():
        for method, path in scoped.closed():
            need, answer = need_of(method, path), scoped.ask(key, method, path)
            assert need is not None
            said = answer.json() if answer.headers["content-type"] == "application/problem+json" else {}
            hidden = ("{item_id}" in path and ARCHIVE not in held) or "{address" in path
            if need.is_personal:
                right = answer.status_code == 404
            elif not need.is_met(Holder(key, "acme", held)):
                right = (
                    answer.status_code == 403 and said.get("needs") == need.words and need.words[0] in said["detail"]
                )
            elif hidden and not may_read(held, ANNA):
                right = answer.status_code == 404 and said["detail"] in ("Item not found.", "Inbox not found.")
            else:
                right = answer.status_code != 401 and "needs" not in said
            if not right:
                wrong.append((key, method, path, answer.status_code, said))

    assert wrong == []


def test_a_refusal_does_not_reveal_what_exists(scoped: Scoped) -> None:
    """Another inbox's item, one of nothing and a malformed id are answered with the same bytes; so are addresses."""
    ids = [path for method, path in scoped.closed() if "{item_id}" in path and method == "GET"]
    addresses = [path for _, path in scoped.closed() if "{address" in path]
    for path in ids:
        answers = {
            _said(scoped.ask("zoe", "GET", path, item_id=one)) for one in (scoped.ids["item_id"], str(uuid4()), "x")
        }
        assert len(answers) == 1, path
        assert scoped.ask("send", "GET", path).content == scoped.ask("send", "GET", path, item_id="x").content
    for path in addresses:
        # One that mail is filed to, another tenant's, and two that do not exist.
        all_of_them = (ANNA, "bob@other.test", "nobody@acme.test", "no address")
        assert len({_said(scoped.ask("zoe", "GET", path, address=one)) for one in all_of_them}) == 1, path


def test_a_key_reads_its_own_inbox_and_searches_it_alone(scoped: Scoped) -> None:
    """Both inboxes have a mail with the word; each key finds its own."""
    found = {}
    for key, address in (("anna", ANNA), ("zoe", ZOE)):
        path = f"/v1/inboxes/{address}/items?q=lease"
        found[key] = [one["id"] for one in scoped.ask(key, "GET", path).json()["items"]]

    assert found == {"anna": [scoped.ids["item_id"]], "zoe": [scoped.zoes]}
    assert scoped.ask("anna", "GET", "/v1/items/{item_id}").status_code == 200
    assert scoped.ask("zoe", "GET", "/v1/items/{item_id}/raw", item_id=scoped.ids["item_id"]).status_code == 404
    assert scoped.ask("archive", "GET", "/v1/items/{item_id}/raw").status_code == 200


def test_the_page_of_inboxes_shows_those_of_the_key(scoped: Scoped, engine: Engine) -> None:
    """By address, pattern and domain; a wildcard of SQL is a letter like others."""
    holders = scoped.app.state.services.keys.holders
    shown = {}
    below = "carla@lyon.acme.test"
    file(engine, "acme", below)
    for scope in (
        *("anna@acme.test", "z*@acme.test", "@acme.test", "@test", "_oe@acme.test", "%*@acme.test"),
        *("*@*.acme.test", "c*@*.acme.test", "z*@*.acme.test"),
    ):
        holders["one"] = Holder("one", "acme", (f"inbox:{scope}",))
        page = scoped.client.get("/inboxes", headers=BROWSER | {"Authorization": "Bearer one"}).text
        shown[scope] = {address for address in (ANNA, ZOE, below, "bob@other.test") if address in page}
        reads = scoped.client.get(f"/inboxes/{below}", headers=BROWSER | {"Authorization": "Bearer one"}).status_code
        assert (reads == 200) is (below in shown[scope])

    assert shown == {
        "anna@acme.test": {ANNA},
        "z*@acme.test": {ZOE},
        "@acme.test": {ANNA, ZOE},
        "@test": set(),
        "_oe@acme.test": set(),
        "%*@acme.test": set(),
        "*@*.acme.test": {below},
        "c*@*.acme.test": {below},
        "z*@*.acme.test": set(),
    }


def test_the_list_of_all_mail_is_that_of_the_key(scoped: Scoped, engine: Engine) -> None:
    """Of acme's two inboxes each key has its own, in the list and beside an item; an archivist of one inbox marks no other."""
    holders = scoped.app.state.services.keys.holders
    holders["both"] = Holder("both", "acme", ("inbox:@acme.test",))
    holders["keeper"] = Holder("keeper", "acme", ("archive", f"inbox:{ZOE}"))
    annas = scoped.ids["item_id"]
    shown = {}
    for key in ("anna", "zoe", "both", "keeper"):
        for query in ("show=all", "show=all&q=lease"):
            page = scoped.client.get(f"/?{query}", headers=BROWSER | {"Authorization": f"Bearer {key}"}).text
            shown[key, query] = {one for one in (annas, scoped.zoes) if one in page}

    own = {"anna": {annas}, "zoe": {scoped.zoes}, "keeper": {scoped.zoes}, "both": {annas, scoped.zoes}}
    assert shown == {(key, query): own[key] for key, query in shown}
    for method, path in (("PATCH", f"/v1/items/{annas}"), ("POST", f"/items/{annas}/done")):
        headers = {"Authorization": "Bearer keeper", "Sec-Fetch-Site": "same-origin"}
        assert scoped.client.request(method, path, json={"done": True}, headers=headers).status_code == 404
    assert scoped.client.get(f"/v1/items/{annas}", headers={"Authorization": "Bearer keeper"}).json()["done"] is None


def test_sending_reads_no_document_of_the_archive(scoped: Scoped) -> None:
    """A key that may send could mail itself any archived document whose digest it knows."""
    kept = scoped.app.state.services.archive.deposit("acme", b"%PDF-1.7").archive_id
    holders = scoped.app.state.services.keys.holders
    holders["both"] = Holder("both", "acme", ("archive", "send"))
    body = batch(message(attachments=[{"filename": "a.pdf", "archive_id": kept}]))

    answers = {}
    for key in ("send", "both"):
        for query in ("dry_run=true", "preview=1", ""):
            answer = scoped.client.post(f"/v1/batches?{query}", json=body, headers={"Authorization": f"Bearer {key}"})
            answers[key, query] = answer.status_code

    assert {status for (key, _), status in answers.items() if key == "send"} == {403}
    assert {status for (key, _), status in answers.items() if key == "both"} <= {200, 202}
    assert scoped.client.post("/v1/batches", json=batch(), headers={"Authorization": "Bearer send"}).status_code == 202


def test_a_page_says_which_scope_is_missing(scoped: Scoped) -> None:
    """A person reads it in the browser, in words."""
    answer = scoped.client.get("/keys", headers=BROWSER | {"Authorization": "Bearer send"})

    assert answer.status_code == 403
    assert "it needs administer" in answer.text
    assert scoped.client.get("/keys", headers=BROWSER | ACME).status_code == 200


def _said(answer: Any) -> tuple[int, bytes]:
    return answer.status_code, answer.content
