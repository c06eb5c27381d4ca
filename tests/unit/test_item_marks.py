"""Marks of items on pages and by API: who may mark what, what a page that is opened records, and where a person goes next."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest

from mailroom.api.app import create_app
from mailroom.domain.inbox.marks import Marking
from mailroom.ports.api_keys import Holder
from mailroom.ports.inbox_reader import FiledItem
from mailroom.testing.api import BROWSER, NOW, Memory, TestClient, an_item, two_tenants

ANN, INVOICES, ZOE = "ann@acme.test", "invoices@acme.test", "zoe@acme.test"
FORM = {"Sec-Fetch-Site": "same-origin"}
KEYS = {
    "ann": Holder("ann@acme.test", "acme", (f"inbox:{ANN}", f"inbox:{INVOICES}")),
    "zoe": Holder("zoe@acme.test", "acme", (f"inbox:{ZOE}",)),
    "archivist": Holder("archivist", "acme", ("archive", f"inbox:{ZOE}")),
    "boss": Holder("boss@acme.test", "acme"),
}


@pytest.fixture
def memory() -> Memory:
    memory = two_tenants()
    memory.keys.holders |= KEYS
    return memory


@pytest.fixture
def site(memory: Memory) -> TestClient:
    return TestClient(create_app(memory.services()), follow_redirects=False)


def mail(memory: Memory, to: str = ANN, *, minutes: int = 0, **changes: Any) -> FiledItem:
    return memory.file(an_item(recipient=to, **changes), received_at=NOW - timedelta(minutes=minutes))


def ask(site: TestClient, key: str, path: str, *, method: str = "GET", **headers: str) -> Any:
    return site.request(method, path, headers=BROWSER | {"Authorization": f"Bearer {key}"} | headers)


def now_of(memory: Memory, filed: FiledItem) -> FiledItem:
    found = memory.reader.item(None, filed.id)
    assert found
    return found


def test_a_page_that_a_person_opens_is_read(site: TestClient, memory: Memory) -> None:
    """Once, by the first; the list shows it by a word, not by colour alone."""
    filed = mail(memory)
    assert "Unread." in ask(site, "ann", "/").text

    ask(site, "ann", f"/items/{filed.id}")
    ask(site, "boss", f"/items/{filed.id}")

    read = now_of(memory, filed).read
    assert read
    assert read.by == "ann@acme.test"
    assert "Unread." not in ask(site, "ann", "/").text
    assert "First opened by <bdi>ann@acme.test</bdi>" in ask(site, "boss", f"/items/{filed.id}").text


@pytest.mark.parametrize(
    ("key", "path", "headers"),
    [
        ("ann", "", {"Sec-Purpose": "prefetch"}),
        ("ann", "", {"Sec-Purpose": "prefetch;prerender"}),
        ("ann", "", {"Purpose": "prefetch"}),
        ("ann", "", {"X-Moz": "prefetch"}),
        ("ann", "", {"X-Purpose": "preview"}),
        ("ann", "", {"Sec-Fetch-Dest": "image"}),
        ("ann", "/print", {}),
        ("ann", "/html", {}),
        ("archivist", "", {}),
        ("admin", "", {}),
    ],
)
def test_what_no_person_of_the_inbox_opens_is_not_read(
    site: TestClient, memory: Memory, key: str, path: str, headers: dict[str, str]
) -> None:
    """Fetched ahead, drawn as a picture, by an operator or an archivist, and other pages of it."""
    filed = mail(memory, html="<p>x")

    assert ask(site, key, f"/items/{filed.id}{path}", **headers).status_code == 200

    assert now_of(memory, filed).read is None


def test_fetching_by_api_marks_nothing(site: TestClient, memory: Memory) -> None:
    """A program that copies an inbox has not read it for anyone."""
    filed = mail(memory)

    for path in (f"/v1/inboxes/{ANN}/items", f"/v1/items/{filed.id}", f"/v1/items/{filed.id}/raw"):
        ask(site, "ann", path)
    ask(site, "ann", f"/items/{filed.id}", method="HEAD")

    assert now_of(memory, filed).read is None


def test_done_goes_on_to_the_next_of_the_list(site: TestClient, memory: Memory) -> None:
    """In the order of the list that the person came from, past what is done and what is in other inboxes; then back to it."""
    first, done, other, last = (
        mail(memory, to, minutes=at, subject=f"mail {at}") for at, to in enumerate([ANN, INVOICES, ZOE, ANN])
    )
    memory.marks.done("acme", done.id, by="bob")
    listed = ask(site, "ann", "/").text
    links = [unescape(link) for link in re.findall(r'href="(/items/[^"]+)"', listed)]
    assert [link.partition("?")[0] for link in links] == [f"/items/{one.id}" for one in (first, last)]

    page = ask(site, "ann", links[0]).text
    [button] = [unescape(link) for link in re.findall(r'action="(/items/[^"]+/done[^"]*)"', page)]
    to_next = ask(site, "ann", button, method="POST", **FORM)
    after = ask(site, "ann", to_next.headers["location"])
    to_list = ask(site, "ann", f"/items/{last.id}/done?show=todo", method="POST", **FORM)

    assert to_next.status_code == 303
    assert to_next.headers["location"].startswith(f"/items/{last.id}?")
    assert "The mail before is done" in after.text
    assert f"/items/{first.id}/undo" in after.text
    assert to_list.headers["location"] == "/?show=todo"
    assert "Nothing to do" in ask(site, "ann", "/").text
    assert now_of(memory, other).done is None


def test_the_second_who_marks_it_sees_who_was_first(site: TestClient, memory: Memory) -> None:
    """On the item's page, instead of going on."""
    filed, _ = mail(memory), mail(memory, minutes=1)
    ask(site, "boss", f"/items/{filed.id}/done?show=todo", method="POST", **FORM)

    late = ask(site, "ann", f"/items/{filed.id}/done?show=todo", method="POST", **FORM)
    page = ask(site, "ann", late.headers["location"]).text

    assert late.headers["location"] == f"/items/{filed.id}?show=todo"
    assert "Done by <bdi>boss@acme.test</bdi>" in page


def test_undo_is_kept_with_who_did_it(site: TestClient, memory: Memory) -> None:
    """The page says who was done and who put it back."""
    filed = mail(memory)
    ask(site, "ann", f"/items/{filed.id}/done", method="POST", **FORM)

    back = ask(site, "boss", f"/items/{filed.id}/undo?show=done&to=list", method="POST", **FORM)
    page = ask(site, "ann", f"/items/{filed.id}").text

    assert back.headers["location"] == "/?show=done"
    assert "<bdi>boss@acme.test</bdi> put it back to do" in page
    assert [line.kind for line in memory.marks.history("acme", filed.id)] == [Marking.DONE, Marking.UNDONE]


@pytest.mark.parametrize("key", ["zoe", "archivist", "other", "nobody"])
def test_no_one_else_sees_or_marks_it(site: TestClient, memory: Memory, key: str) -> None:
    """Not by its id, nor as the next of a list; an archivist, who may read every item, marks none of other inboxes."""
    filed, mine = mail(memory, minutes=1), mail(memory, ZOE)

    for method, path in (
        ("POST", f"/items/{filed.id}/done"),
        ("POST", f"/items/{filed.id}/undo"),
        ("PATCH", f"/v1/items/{filed.id}"),
    ):
        refused = site.request(method, path, json={"done": True}, headers=FORM | {"Authorization": f"Bearer {key}"})
        assert refused.status_code in ({401} if key == "nobody" else {404}), path
    for query in ("show=all", f"show=all&in={ANN}", "show=all&tenant=acme", f"show=todo&in={ANN}&q=hello"):
        page = ask(site, key, f"/items/{mine.id}?{query}").text
        assert filed.id not in page
        assert ANN not in page.partition("<article")[0]
    assert filed.id not in ask(site, key, "/?show=all").text
    assert now_of(memory, filed).done is None


@pytest.mark.parametrize(
    "query",
    ["show=none", "show=all&in=zoe@acme.test", "show=all&in=%00", "show=all&q=%00", "show=todo&q=after:x", "in=x", "show=all&q="
    + "x" * 201, "show=all&tenant=other", "show=all&was=x", "was=%3Cscript%3E", "show=all&show=none", "show=all&in="],
)  # fmt: skip
def test_a_list_that_is_not_ours_is_no_list(site: TestClient, memory: Memory, query: str) -> None:
    """What an address says of a list is not trusted: the page is shown without it, and done leads to no other site."""
    filed, beside = mail(memory), mail(memory, ZOE, minutes=1)

    page = ask(site, "ann", f"/items/{filed.id}?{query}")
    done = ask(site, "ann", f"/items/{filed.id}/done?{query}&to=list&cursor=//evil.test", method="POST", **FORM)

    assert page.status_code == 200
    assert beside.id not in page.text
    assert "<script>" not in page.text
    assert re.match(r"/(items/|inboxes/|\?)", done.headers["location"])
    assert "evil" not in done.headers["location"]


def test_a_form_of_another_site_marks_nothing(site: TestClient, memory: Memory) -> None:
    """The browser would send the key with it."""
    filed = mail(memory)

    for path in ("done", "undo"):
        for headers in ({}, {"Sec-Fetch-Site": "cross-site"}):
            assert ask(site, "ann", f"/items/{filed.id}/{path}", method="POST", **headers).status_code == 403

    assert now_of(memory, filed).done is None


def test_a_program_works_through_an_inbox(site: TestClient, memory: Memory) -> None:
    """It lists what is to do, marks it, and sees who was first; the lists have the same fields as the item."""
    filed, other = mail(memory), mail(memory, minutes=1)
    key = {"Authorization": "Bearer ann"}

    def ids(**query: str) -> list[str]:
        return [one["id"] for one in site.get(f"/v1/inboxes/{ANN}/items", params=query, headers=key).json()["items"]]

    first = site.patch(f"/v1/items/{filed.id}", json={"done": True}, headers={"Authorization": "Bearer boss"}).json()
    second = site.patch(f"/v1/items/{filed.id}", json={"done": True}, headers=key).json()

    assert (first["changed"], second["changed"], second["done"]["by"]) == (True, False, "boss@acme.test")
    assert first["read"] == first["done"]
    assert ids(done="false") == ids(unread="true") == [other.id]
    assert ids(done="true") == ids(unread="false") == [filed.id]
    assert ids(done="true", unread="true") == []
    assert len(ids()) == 2
    shown = site.get(f"/v1/items/{filed.id}", headers=key).json()
    listed = site.get(f"/v1/inboxes/{ANN}/items?done=true", headers=key).json()["items"][0]
    assert shown["done"] == listed["done"] == second["done"]
    undone = site.patch(f"/v1/items/{filed.id}", json={"done": False}, headers=key).json()
    assert (undone["done"], undone["changed"], undone["read"]) == (None, True, first["read"])
    for body in ({}, {"done": "yes"}, {"done": 1}, {"done": None}, {"done": True, "read": True}, []):
        assert site.patch(f"/v1/items/{filed.id}", json=body, headers=key).status_code == 422


def test_a_withdrawn_item_is_not_marked(site: TestClient, memory: Memory) -> None:
    """By page and by API it is gone, with the reason."""
    filed = memory.file(an_item(), withdrawn="virus")

    for method, path in (("POST", f"/items/{filed.id}/done"), ("PATCH", f"/v1/items/{filed.id}")):
        gone = site.request(method, path, json={"done": True}, headers=FORM | {"Authorization": "Bearer ann"})
        assert gone.status_code == 410
    assert memory.marks.history("acme", filed.id) == []


def test_lists_are_tabs_inboxes_and_searches(site: TestClient, memory: Memory) -> None:
    """One list of all inboxes of the person, with how much of each is unread; searches go over all of them."""
    offer, scan = mail(memory, subject="An offer"), mail(memory, INVOICES, minutes=1, subject="A scan")
    mail(memory, ZOE, subject="Not Ann's")
    memory.marks.done("acme", scan.id, by="bob")
    for _ in range(100):
        mail(memory, INVOICES, minutes=9, subject="more")

    def subjects(query: str) -> list[str]:
        page = ask(site, "ann", f"/?{query}").text
        return re.findall(r'<a class="title cover"[^>]*><bdi>([^<]*)', page)

    assert subjects("show=done") == ["A scan"]
    assert subjects("")[:2] == ["An offer", "more"]
    assert subjects("show=all&q=offer") == ["An offer"]
    assert subjects("show=unread&q=scan") == []
    page = ask(site, "ann", "/").text
    assert re.findall(r'class="count">([^<]*)<', page) == ["1", "99+"]
    assert "zoe@acme.test" not in page
    assert ask(site, "ann", "/?show=mine").status_code == 422
    assert ask(site, "ann", "/?q=after:x").status_code == 422
    assert now_of(memory, offer).read is None


def test_the_print_view_has_letter_files_receipts_and_checks(site: TestClient, memory: Memory) -> None:
    """All that proves what was received, and no navigation."""
    filed = mail(memory, text=None, html="<p>Dear <b>Ann</b><script>x()</script>")

    page = ask(site, "ann", f"/items/{filed.id}/print").text

    assert "Dear Ann" in page
    assert filed.deposits["acme/raw"].sha256 in page
    assert "<nav" not in page
    assert "x()" not in page
