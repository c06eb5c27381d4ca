"""The text part of a mail whose sender wrote HTML only."""

import re
from html.parser import HTMLParser

_SPACED = frozenset({"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "table", "ul"})
_BLOCKS = _SPACED | {"article", "br", "div", "footer", "header", "hr", "li", "pre", "section", "tr"}
_HIDDEN = frozenset({"head", "script", "style", "template", "title"})


def text_of(html: str) -> str:
    """Return what a reader sees of `html`, links with where they lead; "" where there is nothing to read."""
    reading = _Reading()
    reading.feed(html)
    reading.close()
    lines = (re.sub(r"[ \t\r\f\v\xa0]+", " ", line).strip() for line in "".join(reading.pieces).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class _Reading(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden = 0
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag in _BLOCKS:
            self.pieces.append("\n\n" if tag in _SPACED else "\n")
            if tag == "li":
                self.pieces.append("- ")
        elif tag in ("td", "th"):
            self.pieces.append(" ")
        elif tag == "a":
            self._links.append((dict(attrs).get("href") or "", len(self.pieces)))
        elif tag == "img" and not self._hidden:
            self.pieces.append(dict(attrs).get("alt") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag in _BLOCKS:
            self.pieces.append("\n\n" if tag in _SPACED else "\n")
        elif tag == "a" and self._links:
            target, since = self._links.pop()
            shown = "".join(self.pieces[since:]).strip()
            if target.startswith(("http://", "https://")) and target != shown:
                self.pieces.append(f" ({target})")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.pieces.append(data.replace("\n", " "))
