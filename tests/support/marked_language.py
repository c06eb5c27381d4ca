"""A language in which each text of a page is marked: what is not was never translated."""

import re
from html.parser import HTMLParser

from markupsafe import Markup

from mailroom.api.pages.translations import Translation

#: Names in every language, and words of the test's own data.
NAMES = re.compile(r"\b(Mailroom|API|HTTP|UTC|eml|DNS|acme|umbrella|ses|SHA|Message-ID|Reply-To|Cc)\b")


class Marked(Translation):
    """A language whose texts are the English ones, each between ⟦ and ⟧."""

    def _filled(self, template: str, values: dict[str, object]) -> Markup:
        return Markup("⟦") + super()._filled(template, values) + Markup("⟧")

    def plain(self, text: str) -> str:
        return f"⟦{super().plain(text)}⟧"


class Outside(HTMLParser):
    """Collects words of a page that stand outside of ⟦⟧, and are no data: names, code, times."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._data: list[str] = []
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if self._data or tag in ("bdi", "code", "pre", "time", "style") or values.get("lang") == "en":
            if tag not in ("input", "br", "img", "meta", "link", "rect"):
                self._data.append(tag)
            return
        for name in ("title", "aria-label", "placeholder", "alt"):
            value = values.get(name) or ""
            if "<" in value or (_words(value) and not re.fullmatch("⟦.*⟧", value, re.DOTALL)):
                self.found.append(f"{name}={value}")

    def handle_endtag(self, tag: str) -> None:
        if self._data and self._data[-1] == tag:
            self._data.pop()

    def handle_data(self, data: str) -> None:
        outside = ""
        for letter in data:
            self._depth += {"⟦": 1, "⟧": -1}.get(letter, 0)
            outside += letter if self._depth == 0 else " "
        if not self._data and _words(outside):
            self.found.append(" ".join(outside.split()))


def _words(text: str) -> bool:
    return bool(re.search(r"[^\W\d_]{2}", NAMES.sub("", text)))


def outside(page: str) -> list[str]:
    """Return the words of a page that were not translated."""
    # A subject is data in a title too.
    body = re.sub(r"<title>(?:Your invoice|Hello|[\w.@]+) · ", "<title>", page)
    found = Outside()
    found.feed(re.sub(r'<html lang="\w+">', "<html>", body))
    return found.found
