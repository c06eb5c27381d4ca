"""An item's page in a real browser: the letter first, in a frame of its own height, from which hostile mail cannot get out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from threading import Lock
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from fastapi.responses import HTMLResponse
from playwright.sync_api import Browser, Page, Request, Route, expect

from mailroom.adapters.previewer import PreviewProcess
from mailroom.api.app import create_app
from mailroom.api.guard import FRAME_POLICY
from mailroom.domain.inbound.received_email import Attachment
from mailroom.domain.inbound.verdicts import Verdict
from mailroom.testing.api import PASSED, Memory, an_item, two_tenants
from tests.support.http_server import basic, serving
from tests.support.previewed_files import pdf, picture

Open = Callable[..., Page]

PLAIN = "<p>Dear Ann,</p><p>the lease is attached.</p><blockquote>Could you send it?</blockquote><p>See <a href='https://x.test/a'>here</a>.</p>"
NEWSLETTER = """<html><head><style>body { background: #eef2f5; color: #333 } .card { background: #fff; padding: 24px }
.button { background: #0b7d4f; color: #fff; display: inline-block; padding: 12px } .pre { display: none }</style></head>
<body><span class="pre">In short</span><table width="100%"><tr><td align="center"><table width="600" style="width:600px"><tr>
<td class="card"><h1 style="color:#0b7d4f">Your statement</h1><p>It is ready.</p><a class="button" href="https://bank.test/x">Read</a>
</td></tr></table></td></tr></table></body></html>"""
#: Each of these would cover the page, load something, run something or leave, if the frame let it.
HOSTILE = """<html><head><style>@import url(https://evil.test/a.css);
body { position: fixed; inset: 0; background: url(https://evil.test/b) } .over { position: fixed; top: -9999px; z-index: 9999 }
p { margin: -500px; width: 100vw; height: 100vh }</style>
<meta http-equiv="refresh" content="0;url=https://evil.test/c"><base href="https://evil.test/" target="_top">
<link rel="stylesheet" href="https://evil.test/d.css"><script>window.top.ran = 1; document.title = "ran"</script></head>
<body onload="window.top.ran = 2"><div class="over" style="po\\73ition:fixed;left:0;top:0;width:99999px;height:99999px;background:#f00">over</div>
<img src="https://evil.test/e.png" srcset="https://evil.test/f.png 2x" onerror="window.top.ran = 3">
<table background="https://evil.test/g"><tr><td style="background-image:url('https://evil.test/h')">x</td></tr></table>
<a id="leave" href="https://evil.test/i" target="_top" onclick="window.top.ran = 4">leave</a>
<form action="https://evil.test/j"><input autofocus onfocus="window.top.ran = 5"></form><svg onload="window.top.ran = 6"></svg>
<iframe src="https://evil.test/k"></iframe><object data="https://evil.test/l"></object><video src="https://evil.test/m"></video>
<p>The end of the letter</p></body></html>"""


def a_part(memory: Memory, number: int, name: str, kind: str, content: bytes) -> Attachment:
    kept = memory.archive.deposit("acme", content).archive_id
    return Attachment(number, name, kind, kind, len(content), sha256(content).hexdigest(), False, None, kept)


@contextmanager
def site_of(memory: Memory, frame: str | None = None) -> Iterator[str]:
    """Serve the pages; `frame` takes the place of every letter's frame, unsanitised, under the policy of a letter."""
    app = create_app(replace(memory.services(), previewer=PreviewProcess()))
    if frame is not None:
        answer = HTMLResponse(frame, headers={"Content-Security-Policy": FRAME_POLICY})
        app.router.routes.insert(0, _route(answer))
    with serving(app) as site:
        yield site


def _route(answer: HTMLResponse) -> Any:
    from starlette.routing import Route as Served

    return Served("/items/{item_id}/html", lambda _: answer)


@pytest.fixture
def memory() -> Memory:
    """One tenant with one empty inbox, and another tenant's."""
    return two_tenants()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens a page; what it asks of another host is noted in `asked` and refused."""
    pages: list[Page] = []

    def opening(url: str, *, width: int = 1100, scheme: Any = "light", scripts: bool = True) -> Page:
        page = browser.new_page(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=scripts,
            extra_http_headers={"Authorization": basic("root", "admin")},
        )
        pages.append(page)
        page.asked, lock = [], Lock()  # type: ignore[attr-defined]

        def answer(route: Route, request: Request) -> None:
            if request.url.startswith(("http://127.0.0.1:", "data:")):
                route.continue_()
                return
            with lock:
                page.asked.append(request.url)  # type: ignore[attr-defined]
            route.abort()

        page.route("**/*", answer)
        page.goto(url)
        return page

    yield opening
    for page in pages:
        page.close()


def height_of(page: Page, name: str = "HTML of this mail") -> float:
    """Return the height of a frame when it is that of its content."""
    frame = page.locator(f"iframe[title='{name}']")
    expect(frame).to_have_attribute("data-fit", "done")
    box = frame.bounding_box()
    assert box is not None
    return box["height"]


@pytest.mark.parametrize("sanitised", [True, False])
def test_hostile_mail_stays_in_its_frame(memory: Memory, opened: Open, sanitised: bool) -> None:
    """Sanitised, and also as it came: sandbox and policy alone must hold it if the sanitiser has a fault."""
    filed = memory.file(an_item(html=HOSTILE, subject="Hostile"))
    with site_of(memory, None if sanitised else HOSTILE) as site:
        page = opened(f"{site}/items/{filed.id}")
        expect(page.frame_locator("iframe").get_by_text("The end of the letter")).to_have_count(1)
        height = height_of(page)
        frame = page.locator("iframe").bounding_box()
        page.frame_locator("iframe").locator("a").first.dispatch_event("click")
        top = page.evaluate("document.elementFromPoint(60, 20).closest('header') !== null")

        assert page.url == f"{site}/items/{filed.id}"
        assert page.title() == "Hostile · Mailroom"
        assert page.evaluate("window.ran") is None
        assert frame is not None
        assert frame["x"] >= 0
        assert frame["width"] < 1100
        assert height <= 20_000
        assert top, "the page's own head is covered"
        assert page.asked == []  # type: ignore[attr-defined]


def test_styles_of_hostile_mail_move_nothing(memory: Memory, opened: Open) -> None:
    """Inside the frame too: no element is placed over others or outside."""
    filed = memory.file(an_item(html=HOSTILE))
    with site_of(memory) as site:
        page = opened(f"{site}/items/{filed.id}/html")
        odd = page.evaluate(
            "[...document.body.querySelectorAll('*')].map(one => [getComputedStyle(one), one.getBoundingClientRect()])"
            ".filter(([style, box]) => style.position !== 'static' || box.top < 0 || box.left < 0).length"
        )

    assert odd == 0


def test_height_follows_the_content(memory: Memory, opened: Open) -> None:
    """One line, a hundred, and the same letter on a phone; there is no second scroll bar."""
    texts = ("<p>One line</p>", "<p>A line</p>" * 100, f"<p>{'many words ' * 300}</p>")
    short, long, wide = (memory.file(an_item(html=html)).id for html in texts)
    with site_of(memory) as site:
        heights = {one: height_of(opened(f"{site}/items/{one}")) for one in (short, long, wide)}
        page = opened(f"{site}/items/{wide}", width=380)
        on_phone = height_of(page)
        inner = page.evaluate("document.querySelector('iframe').contentDocument.documentElement.scrollHeight")
        page.set_viewport_size({"width": 1100, "height": 900})
        page.wait_for_function(f"document.querySelector('iframe').clientHeight < {on_phone / 2}")

    assert heights[short] < 120
    assert heights[long] > 1500
    assert on_phone > 2 * heights[wide]
    assert abs(on_phone - inner) <= 4


def test_letter_can_be_read_without_script(memory: Memory, opened: Open) -> None:
    """A fixed height that scrolls, and everything else as it is."""
    filed = memory.file(an_item(html="<p>A line</p>" * 100))
    with site_of(memory) as site:
        page = opened(f"{site}/items/{filed.id}", scripts=False)
        box = page.locator("iframe").bounding_box()
        expect(page.frame_locator("iframe").get_by_text("A line")).to_have_count(100)

    assert box is not None
    assert 300 < box["height"] < 700


def test_no_script_but_ours_runs_on_the_page(memory: Memory, opened: Open) -> None:
    """Not even one that got into the page itself."""
    filed = memory.file(an_item(html=PLAIN))
    with site_of(memory) as site:
        page = opened(f"{site}/items/{filed.id}")
        height_of(page)
        page.evaluate(
            "() => { const one = document.createElement('script'); try { one.textContent = 'window.ran = 1' } catch {} "
            "document.body.append(one); try { document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=window.ran=2>') } catch {} }"
        )

        assert page.evaluate("window.ran") is None


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("html", [PLAIN, NEWSLETTER], ids=["plain", "with colours"])
def test_letter_has_contrast_in_light_and_dark(memory: Memory, opened: Open, scheme: str, html: str) -> None:
    """A plain letter is on the page's sheet, one with colours on its own; each text is at least 4.5 to 1 of what is below it."""
    filed = memory.file(an_item(html=html))
    with site_of(memory) as site:
        page = opened(f"{site}/items/{filed.id}/html", scheme=scheme)
        pairs = page.evaluate(
            """() => [...document.body.querySelectorAll('p, h1, a, blockquote')].map(one => {
                let below = one;
                while (below && getComputedStyle(below).backgroundColor === 'rgba(0, 0, 0, 0)') below = below.parentElement;
                return [getComputedStyle(one).color, below ? getComputedStyle(below).backgroundColor : 'rgb(255, 255, 255)'];
            })"""
        )
        sheet = page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert pairs
    for ink, below in pairs:
        light, dark = sorted((luminance(ink), luminance(below)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, below)
    assert (luminance(sheet) < 0.1) == (scheme == "dark" and html is PLAIN)


def with_everything(memory: Memory) -> str:
    """File a mail with all that its page shows; return its id."""
    parts = (
        a_part(memory, 1, "lease.pdf", "application/pdf", pdf(3)),
        a_part(memory, 2, "flat.png", "image/png", picture(size=(600, 300))),
        a_part(memory, 3, "broken.pdf", "application/pdf", b"%PDF-1.7 nothing"),
    )
    text = "Hello\n> quoted\nhttps://x.test/a"
    item = an_item(html=NEWSLETTER, text=text, attachments=parts, reply_to=("d@y.test",), defects=("header_malformed",))
    memory.activities.append({"at": "2026-03-14T09:30:00+00:00", "kind": "archived", "facts": {"deposits": 7}})
    return memory.file(item, verdicts=replace(PASSED, dmarc=Verdict.FAIL)).id


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 380])
def test_item_page_is_accessible(memory: Memory, opened: Open, width: int, scheme: str) -> None:
    """No finding of axe, with everything folded out too, and nothing wider than the window."""
    item = with_everything(memory)
    with site_of(memory) as site:
        for path in (f"/items/{item}", f"/items/{memory.file(an_item(text='Hi' + chr(10) + '> a')).id}"):
            page = opened(f"{site}{path}", width=width, scheme=scheme)
            for folded in (True, False):
                if not folded:
                    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
                page.wait_for_load_state("networkidle")
                found = Axe().run(page).response["violations"]

                assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_pdf_is_read_page_by_page(memory: Memory, opened: Open) -> None:
    """In its frame, without leaving the letter; a broken one has a sentence, a picture its preview."""
    item = with_everything(memory)
    with site_of(memory) as site:
        page = opened(f"{site}/items/{item}")
        frame = page.frame_locator("iframe[title='Preview of lease.pdf']")
        expect(frame.get_by_alt_text("Page 1 of 3 of lease.pdf")).to_be_visible()
        frame.get_by_role("link", name="Page 2").click()
        expect(frame.get_by_alt_text("Page 2 of 3 of lease.pdf")).to_be_visible()
        assert frame.get_by_role("link", name="Page 1").count() == 1
        expect(page.frame_locator("iframe[title='Preview of flat.png']").locator("img")).to_be_visible()
        page.locator("li.file", has_text="broken.pdf").get_by_text("Preview", exact=True).click()
        sentence = page.frame_locator("iframe[title='Preview of broken.pdf']").get_by_text("damaged or incomplete")
        expect(sentence).to_be_visible()

        assert height_of(page, "Preview of lease.pdf") > 600
        assert page.url == f"{site}/items/{item}"
        assert page.asked == []  # type: ignore[attr-defined]
