"""The unsubscribe page in a browser: by keyboard, on a phone, in the dark. It needs no stack."""

import re

import pytest
from playwright.sync_api import Browser, expect

from mailroom.domain.delivery.streams import UnsubscribePolicy
from tests.support.unsubscribe_page import offering, page


def test_a_reader_leaves_everything_by_keyboard_alone(browser: Browser) -> None:
    """Tab to the choice, an arrow, tab to the button, enter; the page is in the browser's language."""
    with page() as (url, events):
        tab = browser.new_page(locale="fr-FR")
        tab.goto(url)
        for key in ("Tab", "ArrowDown", "Tab", "Enter"):
            tab.keyboard.press(key)

        expect(tab.get_by_role("heading", level=1)).to_have_text("Vous êtes désabonné")
        tab.close()
    [left] = events.events.values()
    assert left.facts["scope"] == "not_transactional"


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_page_fits_a_phone_whatever_the_tenant_writes(browser: Browser, colours: str) -> None:
    """Long words break; what is to be pressed is as high as a finger; text stands out from its ground."""
    long = "Donaudampfschifffahrtsgesellschaftskapitän" * 2
    with page(offering(UnsubscribePolicy(name=long, text=long))) as (url, _):
        tab = browser.new_page(viewport={"width": 320, "height": 640}, color_scheme=colours, locale="de-DE")
        tab.goto(url)

        assert tab.evaluate("document.documentElement.scrollWidth") <= 320
        for target in (*tab.locator("label").all(), tab.get_by_role("button")):
            box = target.bounding_box()
            assert box is not None
            assert box["height"] >= 40
        background, ink = (
            sum(
                map(
                    int, re.findall(r"\d+", tab.evaluate(f"getComputedStyle(document.querySelector('section')).{name}"))
                )
            )
            for name in ("backgroundColor", "color")
        )
        assert abs(background - ink) > 300
        assert (background < ink) is (colours == "dark")
        tab.close()
