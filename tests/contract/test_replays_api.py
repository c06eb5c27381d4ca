"""Replays by the API and the pages, on PostgreSQL: preview, progress, the address that was missing; each tenant its own."""

import re
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from mailroom.adapters.postgres.inbox.inbox_reader import SqlInboxReader
from mailroom.api.app import create_app
from mailroom.ports.api_keys import Holder
from mailroom.testing.api import BROWSER, Memory, TestClient
from tests.support.quarantined_mails import INFECTED, MINUTE, NOW, SPAM, Desk

PRESSED = {"Sec-Fetch-Site": "same-origin"} | BROWSER
HOLDERS = {
    "root": Holder("root"),
    "other": Holder("olga", "other"),
    "acme": Holder("anna", "acme"),
    "archivist": Holder("arch", "other", ("archive",)),
}


class World(Desk):
    """The mails, and the service before them."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        memory = Memory()
        memory.keys.holders.update(HOLDERS)
        services = replace(
            memory.services(),
            reader=SqlInboxReader(engine),
            ledger=self.ledger,
            runs=self.runs,
            addresses=self.book,
            replayer=self.replayer,
            now=lambda: NOW,
        )
        self.client = TestClient(create_app(services), base_url="http://mail.example", follow_redirects=False)

    def ask(self, method: str, path: str, key: str = "root", **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {key}"} | more.pop("headers", {})
        return self.client.request(method, path, headers=headers, **more)

    def page(self, path: str, key: str = "root") -> str:
        answer = self.ask("GET", path, key, headers=BROWSER)
        assert answer.status_code == 200, answer.text
        return str(answer.text)


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine)


def hidden(page: str) -> dict[str, list[str]]:
    """Return the hidden fields of a page's form."""
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page):
        fields.setdefault(name, []).append(value)
    return fields


def test_reasons_are_listed_with_counts_and_what_to_do(world: World) -> None:
    """What is held for some of its tenants counts for these; a tenant sees its own."""
    world.receives("lost", "nobody@nowhere.test")
    world.receives("part", "anna@acme.test", "bob@other.test", verdicts=SPAM)

    said, theirs = (world.ask("GET", "/v1/inbound/reasons", key).json()["items"] for key in ("root", "archivist"))

    assert [(one["reason_code"], one["mails"], one["partly"], one["releasable"]) for one in said] == [
        ("no_route", 1, 0, False),
        ("spam", 1, 1, True),
    ]
    assert all(one["why"] and one["what_to_do"] for one in said)
    assert [one["reason_code"] for one in theirs] == ["spam"]
    assert world.ask("GET", "/v1/inbound/reasons", "acme").json() == {"items": []}


def test_a_replay_is_previewed_begun_and_followed(world: World) -> None:
    """The same by API: what it touches first, then an id, then how each e-mail ended."""
    for name in ("a", "b"):
        world.receives(name, f"{name}@new.test")
    world.adds("a@new.test", "acme")
    wanted = {"reason": "no_route"}

    seen = world.ask("POST", "/v1/inbound/replay", json=wanted | {"dry_run": True})
    begun = world.ask("POST", "/v1/inbound/replay", json=wanted)
    again = world.ask("POST", "/v1/inbound/replay", json=wanted).json()
    world.works("a", "b")
    shown = world.ask("GET", f"/v1/inbound/replays/{begun.json()['id']}").json()

    assert (seen.status_code, begun.status_code) == (200, 202)
    assert {name: seen.json()[name] for name in ("mails", "new_items", "no_route", "webhooks", "dry_run")} == {
        "mails": 2,
        "new_items": 1,
        "no_route": 1,
        "webhooks": 0,
        "dry_run": True,
    }
    assert (begun.json()["mails"], begun.json()["left"], again["mails"], again["elsewhere"]) == (2, 2, 0, 2)
    assert (shown["left"], shown["states"]) == (0, {"filed": 1, "quarantined": 1})
    assert [(one["message_id"], one["reason_code"]) for one in shown["troubled"]] == [("b", "no_route")]
    assert begun.json()["id"] in [one["id"] for one in world.ask("GET", "/v1/inbound/replays").json()["items"]]


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"since": "2026-01-01T00:00:00Z"},
        {"reason": "no_rout"},
        {"reason": "no_route", "ids": ["x"]},
        {"states": ["filed"]},
        {"recipient": "in/"},
        {"recipient": "nul\x00@x.test"},
        {"action": "delete", "reason": "spam"},
        {"resaon": "spam"},
        {"ids": ["x"] * 1001},
    ],
)
def test_an_order_that_selects_nothing_or_is_misspelt_is_refused(world: World, wanted: dict[str, Any]) -> None:
    """It would otherwise do nothing in silence, or everything."""
    world.receives("lost", "nobody@nowhere.test")

    assert world.ask("POST", "/v1/inbound/replay", json=wanted).status_code == 422
    assert world.sql("select count(*) from replay")[0][0] == 0


def test_a_single_replay_files_the_part_that_is_held(world: World) -> None:
    """Of a mail that was filed for another tenant; it used to end as filed already."""
    entry = world.receives("part", "anna@acme.test", "bob@other.test", verdicts=SPAM)
    world.sets_policy("other", spam="file")

    answer = world.ask("POST", f"/v1/inbound/{entry.id}/replay", "other")
    world.processes("part")

    assert answer.status_code == 202
    assert world.shown("part") == {"anna@acme.test": None, "bob@other.test": None}


def test_a_tenant_sees_and_does_its_own_alone(world: World) -> None:
    """Another's replay is 404 and its e-mails are none; a key without the scope administer sees and does nothing."""
    world.receives("mine", "bob@other.test", verdicts=SPAM)
    lost = world.receives("lost", "nobody@nowhere.test")
    mine = world.ask("POST", "/v1/inbound/replay", "other", json={"reason": "spam", "action": "release"}).json()
    theirs = world.ask("POST", "/v1/inbound/replay", json={"reason": "no_route"}).json()

    assert (mine["mails"], theirs["mails"]) == (1, 1)
    for path in (f"/v1/inbound/replays/{theirs['id']}", f"/quarantine/replays/{theirs['id']}", "/v1/inbound/replays/x"):
        assert world.ask("GET", path, "other").status_code == 404
    assert world.ask("GET", f"/v1/inbound/replays/{mine['id']}", "acme").status_code == 404
    nothing = world.ask("POST", "/v1/inbound/replay", "other", json={"ids": [lost.id]}).json()
    assert nothing["mails"] == nothing["elsewhere"] == 0
    assert world.ask("POST", "/v1/inbound/replay", "archivist", json={"reason": "spam"}).status_code == 403
    page = world.page("/quarantine", "archivist")
    assert "Replay all" not in page
    assert 'type="checkbox"' not in page
    assert "nowhere.test" not in page


def test_the_pages_go_from_the_reason_over_the_preview_to_the_progress(world: World) -> None:
    """Nothing is done before the second button; pressed twice, it is done once."""
    world.receives("held", "bob@other.test", verdicts=SPAM, at=NOW - MINUTE)
    world.receives("virus", "anna@acme.test", verdicts=INFECTED)

    list_page = world.page("/quarantine")
    preview = world.page("/quarantine/replay?action=release&reason=spam")
    assert world.sql("select count(*) from replay")[0][0] == 0
    answers = [
        world.ask("POST", "/quarantine/replay", headers=PRESSED, data=hidden(preview), params={}) for _ in range(2)
    ]
    running = world.page(answers[0].headers["location"])
    world.works("held")
    ended = world.page(answers[0].headers["location"])

    assert "Release all 1" in list_page
    assert "action=release&amp;reason=virus" not in list_page
    assert "at most 1 new" in preview
    assert "1 call to tenants" in preview
    assert [one.status_code for one in answers] == [303, 303]
    assert ('http-equiv="refresh"' in running, 'http-equiv="refresh"' in ended) == (True, False)
    assert "all is well" in ended
    assert len(world.runs.asked) == 1
    assert world.shown("held") == {"bob@other.test": None}


def test_chosen_mails_alone_are_replayed(world: World) -> None:
    """The checkboxes of the list; without one there is a page that says so."""
    entries = [world.receives(f"m{number}", "new@acme.test") for number in range(3)]
    chosen = "&".join(f"id={one.id}" for one in entries[:2])

    preview = world.page(f"/quarantine/replay?action=replay&{chosen}")
    answer = world.ask("POST", "/quarantine/replay", headers=PRESSED, data=hidden(preview))
    world.works()

    assert sorted(key for _, key in world.runs.asked) == ["in/m0", "in/m1"]
    assert answer.headers["location"].startswith("/quarantine/replays/")
    nothing = world.ask("GET", "/quarantine/replay?action=replay", headers=BROWSER)
    assert (nothing.status_code, "No e-mail is chosen" in nothing.text) == (200, True)


def test_e_mails_that_come_after_the_preview_are_not_in_it(world: World) -> None:
    """The button does what the page showed."""
    world.receives("before", "new@acme.test", at=NOW - MINUTE)
    preview = world.page("/quarantine/replay?reason=no_route")
    world.receives("after", "new@acme.test")
    world.ask("POST", "/quarantine/replay", headers=PRESSED, data=hidden(preview))
    world.works()

    assert [key for _, key in world.runs.asked] == ["in/before"]


def test_an_address_is_added_and_its_mails_are_replayed(world: World) -> None:
    """By operators alone; a fault of the form adds nothing, and what was written stays."""
    for number in range(2):
        world.receives(f"m{number}", "New@Acme.test", at=NOW - MINUTE)
    world.receives("else", "else@acme.test", at=NOW - MINUTE)
    form = {"recipient": "new@acme.test", "tenant": "acme", "user": "newcomer", "processor": "inbox"}

    listed, shown = world.page("/quarantine"), world.page("/quarantine/address?recipient=New%40Acme.test")
    wrong = world.ask("POST", "/quarantine/address", headers=PRESSED, data=form | {"tenant": "No tenant!"})
    assert world.book.find("acme", ["new@acme.test"]) == {}
    made = world.ask("POST", "/quarantine/address", headers=PRESSED, data=form)
    world.works("m0", "m1")

    assert "/quarantine/address?recipient=new%40acme.test" in listed
    assert "Add it and replay 2" in shown
    assert (wrong.status_code, "newcomer" in wrong.text) == (422, True)
    assert (made.status_code, world.book.find("acme", ["new@acme.test"])["new@acme.test"].user) == (303, "newcomer")
    assert world.shown("m0") == {"new@acme.test": None}
    assert [one.mails for one in world.replays.groups(None)] == [1]
    for method in ("GET", "POST"):
        path = "/quarantine/address?recipient=new%40acme.test"
        assert world.ask(method, path, "acme", headers=PRESSED, data=form).status_code == 404


def test_what_strangers_write_is_text_and_never_a_pattern(world: World) -> None:
    """A stranger may write to *@acme.test: added as it stands, it would be an address for everything."""
    tag = '"<script>alert(1)</script>"@nowhere.test'
    world.receives("star", "*@acme.test", at=NOW - MINUTE)
    world.receives("tag", tag, at=NOW - MINUTE)
    world.receives("mark", "a&b='x'@nowhere.test", at=NOW - MINUTE)
    starred = {"recipient": "*@acme.test", "tenant": "acme", "user": "x", "processor": "inbox"}

    listed = world.page("/quarantine")
    asked = [world.ask("GET", "/quarantine/address", headers=BROWSER, params={"recipient": "*@acme.test"})]
    asked.append(world.ask("POST", "/quarantine/address", headers=PRESSED, data=starred))

    assert "/quarantine/address?recipient=a%26b%3D%27x%27%40nowhere.test" in listed
    assert "recipient=*" not in listed.replace("%2A", "*")
    assert [one.status_code for one in asked] == [422, 422]
    assert world.book.find("acme", ["*@acme.test"]) == {}
    for path in ("/quarantine/replay", "/quarantine/address"):
        for text in (listed, world.ask("GET", path, headers=BROWSER, params={"recipient": tag}).text):
            assert "<script>alert" not in text


@pytest.mark.parametrize("path", ["/quarantine/replay", "/quarantine/address"])
def test_buttons_work_from_these_pages_alone(world: World, path: str) -> None:
    """Another site's form would be sent with the browser's key."""
    form = {"action": "replay", "reason": "no_route", "recipient": "new@acme.test", "tenant": "acme"}
    for site in ("cross-site", "same-site", "none", None):
        headers = BROWSER | ({"Sec-Fetch-Site": site} if site else {})
        assert world.ask("POST", path, headers=headers, data=form).status_code == 403
    assert world.sql("select count(*) from replay")[0][0] == 0


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"action": "replay"},
        {"action": "delete", "reason": "spam"},
        {"action": "replay", "reason": "spam", "until": "x"},
        {"action": "replay", "id": "\x00"},
        {"action": "replay", "reason": "no\x00route"},
    ],
)
def test_a_form_that_is_not_ours_is_refused(world: World, form: dict[str, str]) -> None:
    """Whatever a client posts."""
    assert world.ask("POST", "/quarantine/replay", headers=PRESSED, data=form).status_code == 422
