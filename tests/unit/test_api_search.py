"""The search box of the inbox page, on services in memory."""

import re
from datetime import timedelta

import pytest

from mailroom.api.app import create_app
from mailroom.ports.api_keys import Holder
from mailroom.ports.inbox_reader import InboxLine
from mailroom.testing.api import NOW, Memory, TestClient, an_item
from tests.support.signed_in import signed_in


@pytest.fixture
def memory() -> Memory:
    """One inbox, Ann's."""
    memory = Memory()
    memory.reader.addresses = [InboxLine("ann@acme.test", "acme", "ann", 0, None)]
    return memory


@pytest.fixture
def pages(memory: Memory) -> TestClient:
    """An operator's browser."""
    return signed_in(create_app(memory.services()))


def test_an_inbox_is_searched_from_its_page(pages: TestClient, memory: Memory) -> None:
    """A plain form, without a script. The query stays in the box, and in the link to older mail."""
    for minutes in range(60):
        memory.file(an_item(subject=f"scan {minutes}"), received_at=NOW - timedelta(minutes=minutes))
    memory.file(an_item(subject="something else"))

    page = pages.get("/inboxes/ann@acme.test", params={"q": "Scan", "tenant": "acme"}).text

    assert "something else" not in page
    assert 'value="Scan"' in page
    assert '<input type="hidden" name="tenant" value="acme">' in page
    older = re.search(r'href="([^"]*cursor=[^"]*)" rel="next"', page)
    assert older
    assert pages.get(older[1].replace("&amp;", "&")).text.count('class="title cover"') == 10


def test_a_hostile_query_is_only_text(pages: TestClient, memory: Memory) -> None:
    """A link with a query in it may come from anyone."""
    memory.file(an_item())

    page = pages.get("/inboxes/ann@acme.test", params={"q": '"><img src=x onerror=alert(1)>'}).text

    assert "No mail found" in page
    assert "<img src=x" not in page
    assert pages.get("/inboxes/ann@acme.test", params={"q": "a\0b"}).status_code == 422
    assert pages.get("/inboxes/ann@acme.test", params={"q": "x" * 201}).status_code == 422


@pytest.fixture
def api(memory: Memory) -> TestClient:
    """A program with Acme's key."""
    memory.keys.holders = {"key": Holder("app", "acme")}
    client = TestClient(create_app(memory.services()), base_url="http://127.0.0.1:8025")
    client.headers["Authorization"] = "Bearer key"
    return client


def test_box_and_api_read_searches_alike(pages: TestClient, api: TestClient, memory: Memory) -> None:
    """One parser: what is found on the page is found by a program."""
    memory.file(an_item(subject="Angebot Jørgen", from_="Łukasz <l@x.test>"))
    memory.file(an_item(subject="other"))

    for question in (
        "from:lukasz",
        "subject:jorgen -from:carl",
        "after:2026-03-14 jørgen",
        "from:lukasz before:2026-04",
    ):
        found = api.get("/v1/inboxes/ann@acme.test/items", params={"q": question}).json()["items"]
        assert [one["subject"] for one in found] == ["Angebot Jørgen"], question
        page = pages.get("/inboxes/ann@acme.test", params={"q": question}).text
        assert "Angebot Jørgen" in page
        assert ">other<" not in page


def test_a_wrong_date_is_named_in_place(pages: TestClient, api: TestClient, memory: Memory) -> None:
    """The box keeps what was written; a program gets a problem that names its parameter."""
    memory.file(an_item())

    page = pages.get("/inboxes/ann@acme.test", params={"q": "offer after:<b>"})
    problem = api.get("/v1/inboxes/ann@acme.test/items", params={"q": "offer after:monday"})

    assert page.status_code == problem.status_code == 422
    assert 'role="alert"' in page.text
    assert "after:2026-03-14" in page.text
    assert 'value="offer after:&lt;b&gt;"' in page.text
    assert "No mail" not in page.text
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json()["errors"][0]["where"] == ["query", "q"]
    assert "after:2026-03-14" in problem.json()["detail"]


def test_the_page_says_how_to_search(pages: TestClient, memory: Memory) -> None:
    """Beside the box, not in a manual."""
    memory.file(an_item())

    page = pages.get("/inboxes/ann@acme.test").text

    assert "How to search" in page
    for word in ("from:carl", "subject:", "filename:", "has:attachment", "before:2026-03-14", "after:2026-03"):
        assert word in page


def test_what_is_new_is_fetched_in_pages_of_one_window(api: TestClient, memory: Memory) -> None:
    """`until` is the same on each page, and `since` of the next time."""
    path = "/v1/inboxes/ann@acme.test/items"
    for minutes in range(5):
        memory.file(an_item(subject=f"{minutes}"), filed_at=NOW - timedelta(minutes=minutes))
    since = (NOW - timedelta(minutes=3)).isoformat()

    first = api.get(path, params={"since": since, "limit": 3}).json()
    second = api.get(path, params={"since": since, "limit": 3, "cursor": first["next"]}).json()
    later = api.get(path, params={"since": second["until"]}).json()

    assert [one["subject"] for one in first["items"] + second["items"]] == ["0", "1", "2", "3"]
    assert first["until"] == second["until"]
    assert (second["next"], later["items"]) == (None, [])
    assert first["items"][0]["listed_at"].startswith("2026-03-14T09:30:00")
    assert api.get(path).json()["until"] is None


@pytest.mark.parametrize(
    ("since", "says"),
    [
        ("2026-03-14T09:30:00", "the time zone is missing"),
        ("2026-03-14", "the time zone is missing"),
        ("2026-03-14T09:30:00 01:00", "%2B"),
        ("yesterday", "the time zone is missing"),
        ("17000000", "time"),
        ("0001-01-01T00:00:00Z", "between 1970"),
    ],
)
def test_since_needs_a_time_zone(api: TestClient, since: str, says: str) -> None:
    """Without one a program would miss hours of mail, or fetch them twice."""
    answer = api.get("/v1/inboxes/ann@acme.test/items", params={"since": since})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["where"] == ["query", "since"]
    assert says in answer.json()["errors"][0]["what"]


def test_a_cursor_of_another_list_is_refused(api: TestClient, memory: Memory) -> None:
    """Its position is in another order: it would skip mail in silence."""
    path = "/v1/inboxes/ann@acme.test/items"
    for _ in range(3):
        memory.file(an_item())
    plain, new = (
        api.get(path, params={"limit": 1} | more).json()["next"] for more in ({}, {"since": "2026-01-01T00:00:00Z"})
    )

    for params in (
        {"cursor": plain, "since": "2026-01-01T00:00:00Z"},
        {"cursor": new},
        {"cursor": new[:-8], "since": "2026-01-01T00:00Z"},
    ):
        assert api.get(path, params=params).status_code == 422, params
