"""The hosts of links as a real browser reads them, against what our pages show."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from mailroom.api.app import create_app
from mailroom.domain.mail.urls import web_url
from mailroom.testing.api import an_item, two_tenants
from tests.support.http_server import serving
from tests.support.url_cases import CHROMIUM_ALONE, HOSTS

_ASKED = "written => { try { const url = new URL(written); return [url.host, url.href] } catch { return null } }"
_LISTED = "links => links.map(link => [link.querySelector('strong').textContent, link.host])"


@pytest.fixture
def blank(browser: Browser) -> Iterator[Page]:
    """An empty page, to ask the browser's own parser."""
    page = browser.new_page()
    yield page
    page.close()


def test_browser_finds_the_same_host_in_every_link(blank: Page) -> None:
    """Our parser follows the URL standard; the reader's browser is another program, and decides."""
    ours, theirs = {}, {}
    for written in HOSTS:
        read, answer = web_url(written), blank.evaluate(_ASKED, written)
        ours[written] = read.place if read else None
        theirs[written] = (answer[0] or None) if answer else None

    assert theirs == ours | CHROMIUM_ALONE


def test_shown_host_is_the_one_that_the_link_opens(browser: Browser) -> None:
    """Strange spellings in a mail: beside each link of the item's page is the host that a click goes to."""
    memory = two_tenants()
    html = "".join(f'<a href="{written}">bank.example</a>' for written in HOSTS if "\x00" not in written)
    filed = memory.file(an_item(html=html))
    with serving(create_app(memory.services())) as site:
        page = browser.new_page(extra_http_headers={"Authorization": "Bearer admin"})
        page.goto(f"{site}/items/{filed.id}")
        listed = page.eval_on_selector_all("ol.links a", _LISTED)
        page.close()

    assert [shown for shown, _ in listed] == [opened for _, opened in listed]
    # The sanitiser's own parser refuses a label that is no Punycode before ours is asked.
    assert {shown for shown, _ in listed} == {host for host in HOSTS.values() if host} - {"xn--a"}
