"""Every page is accessible, at two widths, in light and dark, and offers who is signed in to sign out; a new page is walked by itself.

It needs no stack.
"""

import json
import re
from collections import Counter
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route
from sqlalchemy import Engine

from tests.support.page_walk import Walk, walked
from tests.support.planted_tenants import Installation

WIDTHS = (1280, 400)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
#: Letters and previews in frames run no script, so axe cannot look into them from outside: they are pages of their own here.
_RUN = """axe.run({resultTypes: ["violations"], iframes: false}).then(
    found => found.violations.map(one => [one.id, one.nodes.slice(0, 3).map(node => node.html.slice(0, 300))]))"""
#: What sticks out of the window to the right, if the page is wider than it.
_TOO_WIDE = """document.documentElement.scrollWidth <= innerWidth ? [] :
    [...document.querySelectorAll("body *")].filter(one => one.getBoundingClientRect().right > innerWidth)
        .map(one => one.outerHTML.slice(0, 120)).slice(0, 5).concat(["a text"])"""
#: Rules for pages as a whole: a letter or a drawn file in a frame has the page's landmarks and headings around it.
_OF_PAGES = ("landmark-one-main", "page-has-heading-one", "region")
_AXE = Axe().axe_script
_FRAMES = re.compile(r"/(html|preview)(\?.*)?$")


def faults_of(page: Page) -> list[Any]:
    """Return what axe finds, and whether the page is wider than its window, in each width and scheme."""
    found = list[Any]()
    page.evaluate(_AXE)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        found += [(width, "wider than the window", one) for one in page.evaluate(_TOO_WIDE)]
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            found += [(width, scheme, *one) for one in page.evaluate(_RUN)]
    framed = _FRAMES.search(page.url) is not None
    return [one for one in found if not (framed and one[2] in _OF_PAGES)]


def test_every_page_has_no_violation(engine: Engine, browser: Browser) -> None:
    """With everything folded out, but the menu, which would cover the page; and once that too. Whose page it is, is on it."""
    faults, counts = dict[str, Any](), Counter[str]()
    with walked(Installation(engine)) as site:
        for name, paths in site.paths.items():
            page = _tab(browser, site, name)
            for path in paths:
                answer = page.goto(f"{site.url}{path}")
                assert answer is not None
                assert "sandbox" not in answer.headers.get("content-security-policy", ""), path
                page.evaluate("document.querySelectorAll('main details').forEach(one => { one.open = true })")
                counts[name] += 1
                found = faults_of(page)
                if site.cookies[name] and page.locator("header.top").count() and not page.locator(".who").count():
                    found.append("it does not say who is signed in")
                if found:
                    faults[f"{name} {path}"] = found
            if name == "member":
                page.goto(site.url)
                page.locator(".who summary").click()
                faults |= {"the menu": found} if (found := faults_of(page)) else {}
            page.context.close()

    print(f"\n{sum(counts.values())} pages x {len(WIDTHS)} widths x {len(SCHEMES)} schemes: {dict(counts)}")
    assert not faults, json.dumps(faults, indent=1)
    assert sum(counts.values()) > 50


def _tab(browser: Browser, site: Walk, name: str) -> Page:
    context = browser.new_context(viewport={"width": WIDTHS[0], "height": 900})
    cookies: list[Any] = [{"name": one, "value": value, "url": site.url} for one, value in site.cookies[name].items()]
    context.add_cookies(cookies)
    context.route(_FRAMES, _with_scripts)
    return context.new_page()


def _with_scripts(route: Route) -> None:
    """Answer without the policy under which no script runs, axe neither."""
    answer = route.fetch()
    headers = {name: value for name, value in answer.headers.items() if name != "content-security-policy"}
    route.fulfill(response=answer, headers=headers)
