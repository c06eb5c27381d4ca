"""The item's page begins with the letter: HTML or text, what a reader must know above it, everything else behind or below."""

import re
from dataclasses import replace

import pytest

from mailroom.api.app import create_app
from mailroom.api.pages.letters import MOST_LINKS, answers_elsewhere, plain_letter
from mailroom.api.pages.rendering import checks_in_short
from mailroom.domain.inbound.filing_policy import Finding, Scan
from mailroom.domain.inbound.verdicts import Verdict
from mailroom.testing.api import BROWSER, NOW, PASSED, Memory, TestClient, an_item, two_tenants


@pytest.fixture
def memory() -> Memory:
    """One tenant with one empty inbox, and another tenant's."""
    return two_tenants()


@pytest.fixture
def pages(memory: Memory) -> TestClient:
    """A browser where pages need a key."""
    return TestClient(create_app(memory.services()), base_url="https://mail.example", headers=BROWSER)


def page_of(pages: TestClient, memory: Memory, key: str = "admin", **changes: object) -> str:
    filed = memory.file(an_item(**changes), verdicts=PASSED, run_id="1234")
    answer = pages.get(f"/items/{filed.id}", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200
    return answer.text


def runs(text: str) -> list[tuple[str, str | None]]:
    return [(run.text, run.link) for piece in plain_letter(text) for run in piece.runs]


def test_letter_comes_before_files_checks_and_ids(pages: TestClient, memory: Memory) -> None:
    """In the order in which a person reads."""
    page = page_of(pages, memory, html="<p>x", text="the text part", defects=("date_unreadable",))

    places = [
        page.index(one)
        for one in ("<dt>From", "<iframe", "Text part", "All checks passed", "Archive</h2>", "For operators")
    ]
    assert places == sorted(places)
    assert page.index("<details><summary>Text part") < page.index("the text part") < page.index("</details>", places[2])


def test_what_a_reader_must_know_is_above_the_letter(pages: TestClient, memory: Memory) -> None:
    """Another address for answers, several senders, and what was left out."""
    page = page_of(
        pages,
        memory,
        html="<p>x",
        reply_to=("d@y.test",),
        defects=("sender_ambiguous",),
        left_out={"pgp_encrypted": {}},
    )

    above = page[: page.index("<iframe")]
    assert "an answer goes to another address" in above
    assert "several senders" in above
    assert "Not read, or not shown" in above


@pytest.mark.parametrize(
    ("sender", "answers", "elsewhere"),
    [
        ("Carl <c@x.test>", ("C@X.test",), False),
        ("Carl <c@x.test>", (), False),
        ("Carl <c@x.test>", ("Carl <c@x.test>", "d@x.test"), True),
        ("Carl <c@x.test>", ("c@x.test.evil.test",), True),
        (None, ("d@x.test",), True),
    ],
)
def test_answer_that_goes_elsewhere_is_marked(sender: str | None, answers: tuple[str, ...], elsewhere: bool) -> None:
    """By the address, not the name."""
    assert answers_elsewhere(an_item(from_=sender, reply_to=answers)) is elsewhere


def test_ids_runs_and_facts_are_for_operators(pages: TestClient, memory: Memory) -> None:
    """A tenant's reader has no use for them; the letter, the receipt and the history's steps are there for all."""
    memory.activities.append({"at": NOW.isoformat(), "kind": "archived", "facts": {"deposits": 7}})
    operator, reader = (page_of(pages, memory, key, message_id="<id@x>") for key in ("admin", "acme"))

    for fact in ("runs/flow-run/1234", "&lt;id@x&gt;", "For operators", "deposits <bdi>7", "<dt>E-mail"):
        assert fact in operator
        assert fact not in reader
    for fact in ("Archived</span>", "archived</span>", "All checks passed", "Download .eml"):
        assert fact in reader


def test_checks_are_one_line(memory: Memory) -> None:
    """The worst first; a mail that was not checked says so."""
    clean, found, not_done = (Scan(one, "engine") for one in (Finding.CLEAN, Finding.INFECTED, Finding.UNSCANNED))
    cases = {
        "All checks passed": (PASSED, clean),
        "DMARC failed, spam uncertain": (replace(PASSED, dmarc=Verdict.FAIL, spam=Verdict.GRAY), None),
        "Scanner found something": (PASSED, found),
        "Not scanned": (PASSED, not_done),
        "Not checked": (None, None),
    }

    for words, (verdicts, scan) in cases.items():
        assert checks_in_short(memory.file(an_item(), verdicts=verdicts, scan=scan)) == words


def test_text_is_the_letter_where_there_is_no_html(pages: TestClient, memory: Memory) -> None:
    """Not behind anything; quoted lines are."""
    page = page_of(pages, memory, text="Hello\n> you wrote\n> that\nBye")

    assert '<pre class="body" dir="auto">Hello\n</pre>' in page
    assert re.search(r"<summary>2 quoted lines</summary><pre[^>]*>&gt; you wrote\n&gt; that\n</pre>", page)
    assert "<iframe" not in page


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("see https://x.test/a?b=c#d.", ["https://x.test/a?b=c#d"]),
        ("(https://x.test/map_(old))", ["https://x.test/map_(old)"]),
        ("<https://x.test/a>, HTTP://X.TEST", ["https://x.test/a", "http://x.test/"]),
        ("https://bank.test@evil.test/ https://аpple.test/ https://x.test\\@evil.test javascript:alert(1)", []),
        ("https://0x7f.1/ http:///x https://", []),
        ("https://x.test/\u202egpj.exe", ["https://x.test/gpj.exe"]),
    ],
)
def test_text_links_only_what_every_program_reads_alike(text: str, links: list[str]) -> None:
    """A link opens the host that its text shows."""
    assert [link for _, link in runs(text) if link] == links


def test_text_of_any_size_comes_back_whole() -> None:
    """Pieces and links are bounded; no character is lost."""
    text = "> a\nb\n" * 1_000 + "https://x.test/ " * (MOST_LINKS + 9) + "."

    assert "".join(one for one, _ in runs(text)) == text
    assert len(plain_letter(text)) <= 201
    assert sum(link is not None for _, link in runs(text)) == MOST_LINKS


def test_hidden_text_can_be_read(pages: TestClient, memory: Memory) -> None:
    """What a style hides is said, and is behind a fold."""
    hiding = page_of(pages, memory, html="<p>seen</p><p style='display:none'>unseen words</p>")

    assert "also what its styles hide" in hiding
    assert "unseen words" in hiding
    assert "also what its styles hide" not in page_of(pages, memory, html="<p>seen</p>")
