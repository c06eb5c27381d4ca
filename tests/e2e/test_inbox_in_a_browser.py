"""The inbox in a real browser: keyboard, done, next, print; and that its pages are accessible, in both widths and colours."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from mailroom.api.app import create_app
from mailroom.domain.inbound.received_email import Attachment
from mailroom.ports.api_keys import Holder
from mailroom.testing.api import NOW, PASSED, Memory, an_item, two_tenants
from tests.support.http_server import basic, serving
from tests.support.previewed_files import pdf

ANN, INVOICES = "ann@acme.test", "invoices@acme.test"


@pytest.fixture
def memory() -> Memory:
    """Four mails in two inboxes of Ann's, the newest first; the last is done."""
    memory = two_tenants()
    memory.keys.holders["ann"] = Holder(ANN, "acme", (f"inbox:{ANN}", f"inbox:{INVOICES}"))
    offer = memory.archive.deposit("acme", pdf()).archive_id
    part = Attachment(1, "offer.pdf", "application/pdf", "application/pdf", 5, "ab" * 32, False, None, offer)
    letter = an_item(text="Dear Ann, \u202ethis is our offer.", attachments=(part,))
    for at, to in enumerate([ANN, INVOICES, ANN, ANN]):
        item = replace(letter, recipient=to, subject=f"Mail {at}")
        memory.file(item, received_at=NOW - timedelta(hours=7 * at), verdicts=PASSED)
    memory.marks.now = lambda: NOW
    memory.marks.done("acme", memory.reader.filed[3].id, by="bob@acme.test")
    return memory


@pytest.fixture
def site(memory: Memory) -> Iterator[str]:
    with serving(create_app(memory.services())) as site:
        yield site


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(extra_http_headers={"Authorization": basic("ann", "ann")})
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    context.close()
    assert faults == []


def press(page: Page, key: str) -> None:
    """Press a key once the script, which shows the help, is there."""
    expect(page.get_by_text("Keyboard", exact=True)).to_be_visible()
    page.keyboard.press(key)


def test_a_morning_at_the_keyboard(page: Page, site: str, memory: Memory) -> None:
    """Down, open, done, done, back, search, help: each key presses what is on the page."""
    page.goto(site)
    rows = page.locator("[data-row]")
    expect(rows).to_have_count(3)
    expect(page.locator(".unread")).to_have_count(3)

    press(page, "j")
    press(page, "j")
    expect(page.get_by_role("link", name="Mail 1")).to_be_focused()
    press(page, "k")
    expect(page.get_by_role("link", name="Mail 0")).to_be_focused()
    press(page, "o")
    expect(page.get_by_role("heading", level=1)).to_have_text("Mail 0")
    press(page, "e")
    expect(page.get_by_role("heading", level=1)).to_have_text("Mail 1")
    expect(page.get_by_role("status")).to_contain_text("The mail before is done")
    press(page, "j")
    expect(page.get_by_role("heading", level=1)).to_have_text("Mail 2")
    press(page, "k")
    expect(page.get_by_role("heading", level=1)).to_have_text("Mail 1")
    press(page, "u")
    expect(rows).to_have_count(2)
    expect(page.locator(".unread")).to_have_count(0)

    press(page, "j")
    press(page, "e")
    expect(rows).to_have_count(1)
    press(page, "/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("joke?")
    expect(page.get_by_role("searchbox")).to_have_value("joke?")
    expect(rows).to_have_count(1)
    done = [filed.done.by for filed in memory.reader.filed if filed.done]
    assert done == [ANN, ANN, "bob@acme.test"]


def test_shortcuts_can_be_switched_off(page: Page, site: str) -> None:
    """Who speaks to the machine, or types with one hand, would press them by accident (WCAG 2.1.4); the choice stays."""
    page.goto(site)
    press(page, "?")
    page.get_by_role("button", name="Shortcuts are on").click()
    expect(page.get_by_role("button", name="Shortcuts are off")).to_be_visible()

    page.goto(f"{site}/?show=all")
    press(page, "j")

    assert page.evaluate("document.activeElement.tagName") == "BODY"
    page.get_by_text("Keyboard", exact=True).click()
    expect(page.get_by_role("button", name="Shortcuts are off")).to_be_visible()


def test_everything_works_without_scripts(browser: Browser, site: str) -> None:
    """The keys only press what is there; what cannot work is not shown."""
    context = browser.new_context(java_script_enabled=False, extra_http_headers={"Authorization": basic("ann", "ann")})
    page = context.new_page()
    page.goto(site)
    page.get_by_role("link", name="Mail 0").click()
    expect(page.get_by_text("Keyboard", exact=True)).to_be_hidden()
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Mail 1")
    page.get_by_role("button", name="Put it back").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Mail 0")
    page.get_by_role("link", name="To do").click()
    expect(page.locator("[data-row]")).to_have_count(3)
    context.close()


def test_the_print_view_is_the_letter_and_its_proof(page: Page, site: str, memory: Memory) -> None:
    """On paper: black on white, without what only a screen has."""
    filed = memory.reader.filed[0]
    page.goto(f"{site}/items/{filed.id}")
    page.get_by_role("link", name="Print view").click()
    page.emulate_media(media="print", color_scheme="dark")

    expect(page.get_by_text("this is our offer.")).to_be_visible()
    for archive_id in (filed.item.raw_archive_id, filed.item.attachments[0].archive_id):
        expect(page.get_by_text(archive_id, exact=True)).to_be_visible()
    expect(page.get_by_text("Back to the mail")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.pdf()[:5] == b"%PDF-"


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_pages_have_no_accessibility_fault(
    browser: Browser, site: str, memory: Memory, width: int, colours: str
) -> None:
    """Lists in each state, an item, its print view; none is wider than the screen either."""
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if colours == "dark" else "light",
        extra_http_headers={"Authorization": basic("ann", "ann")},
    )
    page, item = context.new_page(), memory.reader.filed[0].id
    memory.marks.done("acme", memory.reader.filed[2].id, by=ANN)
    memory.marks.undo("acme", memory.reader.filed[2].id, by=ANN)
    found = {}
    for path in (
        *(
            "/",
            "/?show=done",
            "/?show=all&q=offer",
            "/?show=unread&q=nothing",
            "/?q=after:x",
            f"/inboxes/{ANN}",
            "/inboxes",
        ),
        *(f"/items/{item}?show=todo&was={item}", f"/items/{memory.reader.filed[2].id}", f"/items/{item}/print"),
    ):
        page.goto(site + path)
        for hint in page.locator("details").all():
            hint.evaluate("one => { one.open = true }")
        wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        faults = [
            f"{one['id']}: {json.dumps([node['html'] for node in one['nodes'][:2]])}"
            for one in Axe().run(page).response["violations"]
        ]
        if faults or wide:
            found[path] = faults + ["wider than the screen"] * wide
    context.close()

    assert found == {}
