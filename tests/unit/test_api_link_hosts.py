"""Links and senders of received mail, as the item's page and the API show them."""

import re

import pytest

from mailroom.api.app import create_app
from mailroom.domain.inbound.received_email import SENDER_AMBIGUOUS
from mailroom.domain.parsing import Defect
from mailroom.testing.api import PASSED, Memory, TestClient, an_item, two_tenants
from tests.support.signed_in import signed_in


@pytest.fixture
def memory() -> Memory:
    return two_tenants()


@pytest.fixture
def pages(memory: Memory) -> TestClient:
    return signed_in(create_app(memory.services()))


def links(pages: TestClient, memory: Memory, html: str) -> list[tuple[str, str]]:
    """Return where each listed link leads, and the host that is shown beside it."""
    filed = memory.file(an_item(html=html))
    page = pages.get(f"/items/{filed.id}").text
    return re.findall(r'<li><a href="([^"]*)"[^>]*><strong><bdi>([^<]*)</bdi></strong>', page)


@pytest.mark.parametrize("padding", [0, 20_000], ids=["read in this process", "read in a child"])
def test_shown_host_and_opened_host_are_one(pages: TestClient, memory: Memory, padding: int) -> None:
    """Large HTML is read in a child process, which must have the same rules."""
    html = (
        '<a href="https://evil.test\\@bank.test/">bank</a><a href="https://straße.de/a?b=1&amp;c">s</a>' + "x" * padding
    )

    assert links(pages, memory, html) == [
        ("https://evil.test/@bank.test/", "evil.test"),
        ("https://xn--strae-oqa.de/a?b=1&amp;c", "xn--strae-oqa.de"),
    ]


def test_link_that_opens_nothing_is_no_link(pages: TestClient, memory: Memory) -> None:
    """Its host would be a guess; what it says stays as text."""
    html = (
        '<a href="https://bank.test%2f.evil.test/">one</a> <a href="//evil.test/">two</a> <a href="evil.test">three</a>'
    )

    assert links(pages, memory, html) == []


def test_addresses_to_write_to_are_shown_decoded(pages: TestClient, memory: Memory) -> None:
    """A mail program writes to what is decoded."""
    assert links(pages, memory, '<a href="mailto:evil%40evil.test?subject=x">bank.test</a>') == [
        ("mailto:evil%40evil.test?subject=x", "evil@evil.test")
    ]


def test_foreign_letters_are_named_beside_the_host(pages: TestClient, memory: Memory) -> None:
    """The host itself is ASCII, without lookalikes; a reader who knows straße.de finds it beside."""
    filed = memory.file(an_item(html='<a href="https://straße.de/">x</a><a href="https://аррӏе.test/">y</a>'))

    page = pages.get(f"/items/{filed.id}").text

    assert "reads <bdi>straße.de, in Latin letters</bdi>" in page
    assert "reads <bdi>аррӏе.test, in Cyrillic letters</bdi>" in page


def test_programs_get_the_links_that_a_browser_opens(pages: TestClient, memory: Memory) -> None:
    """A program that shows the HTML of our JSON need not know more of URLs than that they are plain."""
    filed = memory.file(an_item(html='<a href="https:\\\\bank.test@%65vil.test/">x</a>'))

    answer = pages.get(f"/v1/items/{filed.id}", headers={"Authorization": "Bearer acme"}).json()

    assert 'href="https://evil.test/"' in answer["html"]


def test_several_senders_are_marked_wherever_one_is_shown(pages: TestClient, memory: Memory) -> None:
    """Programs differ in which of two addresses wrote the mail; the list, the page and the JSON say so."""
    memory.file(an_item(subject="Plain"), verdicts=PASSED)
    filed = memory.file(an_item(subject="Odd", defects=(SENDER_AMBIGUOUS,)), verdicts=PASSED)
    key = {"Authorization": "Bearer acme"}

    listed = pages.get("/inboxes/ann@acme.test").text
    page = pages.get(f"/items/{filed.id}").text
    lines = pages.get("/v1/inboxes/ann@acme.test/items", headers=key).json()["items"]
    answer = pages.get(f"/v1/items/{filed.id}", headers=key).json()

    assert listed.count("several senders") == 1
    assert "several senders" in page
    assert "has more than one address" in page
    assert {line["subject"]: line["sender_ambiguous"] for line in lines} == {"Plain": False, "Odd": True}
    assert answer["sender_ambiguous"] is True
    assert SENDER_AMBIGUOUS == Defect.SENDER_AMBIGUOUS
