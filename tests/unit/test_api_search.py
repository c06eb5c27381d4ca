"""The search box of the inbox page, on services in memory."""

import re
from datetime import timedelta

import pytest

from mailroom.api.app import create_app
from mailroom.ports.inbox_reader import InboxLine
from mailroom.testing.api import NOW, Memory, TestClient, an_item


@pytest.fixture
def memory() -> Memory:
    """One inbox, Ann's."""
    memory = Memory()
    memory.reader.addresses = [InboxLine("ann@acme.test", "acme", "ann", 0, None)]
    return memory


@pytest.fixture
def pages(memory: Memory) -> TestClient:
    """A browser on this machine, with open pages."""
    return TestClient(create_app(memory.services(pages_open=True)), base_url="http://127.0.0.1:8025")


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
