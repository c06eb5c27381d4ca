"""Every page is accessible, at two widths, in light and dark; a new page is walked by itself. It needs no stack."""

from collections import Counter
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from sqlalchemy import Engine

from tests.support.page_walk import Walk, walked
from tests.support.planted_tenants import Installation

WIDTHS, SCHEMES = (1280, 400), ("light", "dark")


def faults_of(page: Page) -> list[Any]:
    """Return what axe finds, and whether the page is wider than its window, in each width and scheme."""
    found = list[Any]()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append((width, "wider than the window"))
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            violations = Axe().run(page).response["violations"]
            found += [
                (width, scheme, one["id"], [node["html"][:300] for node in one["nodes"][:3]]) for one in violations
            ]
    return found


def test_every_page_has_no_violation(engine: Engine, browser: Browser) -> None:
    """With everything folded out, but the menu, which would cover the page; and once that too."""
    faults, counts = dict[str, Any](), Counter[str]()
    with walked(Installation(engine)) as site:
        for name, paths in site.paths.items():
            page = _tab(browser, site, name)
            for path in paths:
                page.goto(f"{site.url}{path}")
                page.evaluate("document.querySelectorAll('main details').forEach(one => { one.open = true })")
                counts[name] += 1
                if found := faults_of(page):
                    faults[f"{name} {path}"] = found
            if name == "member":
                page.goto(site.url)
                page.locator(".who summary").click()
                faults |= {"the menu": found} if (found := faults_of(page)) else {}
            page.context.close()

    print(f"\n{sum(counts.values())} pages x {len(WIDTHS)} widths x {len(SCHEMES)} schemes: {dict(counts)}")
    assert faults == {}
    assert sum(counts.values()) > 50


def _tab(browser: Browser, site: Walk, name: str) -> Page:
    context = browser.new_context(viewport={"width": WIDTHS[0], "height": 900})
    cookies: list[Any] = [{"name": one, "value": value, "url": site.url} for one, value in site.cookies[name].items()]
    context.add_cookies(cookies)
    return context.new_page()
