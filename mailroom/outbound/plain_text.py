"""The plain text part of a mail that was submitted with HTML only."""

import re
from html.parser import HTMLParser

import nh3

from mailroom.domain.outbound.wire_size import text_size

_SPACED = frozenset({"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "table", "ul"})
_BLOCKS = frozenset({"article", "div", "footer", "header", "hr", "li", "pre", "section", "tr"})
_TAGS = set(_SPACED | _BLOCKS | {"a", "br", "img", "td", "th"})
_HIDDEN = {"script", "style", "template", "title"}

#: Characters of HTML that are read: double nesting takes four times as long, and mail programs clip at this length too.
_MOST = 100_000


def text_of(html: str) -> str:
    """Return the visible text of `html`, links with their URLs; "" where there is none."""
    reading = _Reading()
    # Made well-formed first: the standard parser takes minutes for megabytes of unclosed tags.
    reading.feed(
        nh3.clean(
            html[:_MOST],
            tags=_TAGS,
            clean_content_tags=_HIDDEN,
            attributes={"a": {"href"}, "img": {"alt"}},
            link_rel=None,
        )
    )
    reading.close()
    lines = (re.sub(r"[ \t\r\f\v\xa0]+", " ", line).strip() for line in "".join(reading.pieces).split("\n"))
    return "\n".join(lines).strip()


def most_text(html: str) -> int:
    """Return the largest size on the wire of `text_of(html)`, in bytes: a tag or entity becomes little longer than it was."""
    return text_size(html[:_MOST]) * 3 // 2


class _Reading(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._breaks = 0
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._break(tag)
        if tag == "li":
            self._say("- ")
        elif tag in ("td", "th"):
            self._say(" ")
        elif tag == "a":
            self._links.append((dict(attrs).get("href") or "", len(self.pieces)))
        elif tag == "img":
            self._say(dict(attrs).get("alt") or "")

    def handle_endtag(self, tag: str) -> None:
        self._break(tag)
        if tag == "a" and self._links:
            target, since = self._links.pop()
            shown = "".join(self.pieces[since:]).strip()
            if target.startswith(("http://", "https://")) and target != shown:
                self.pieces.append(f" ({target})")

    def handle_data(self, data: str) -> None:
        text = data.replace("\n", " ")
        # White space between blocks is dropped; within a line it separates words.
        if text.strip() or not self._breaks:
            self._say(text)

    def _say(self, text: str) -> None:
        if text:
            self.pieces.append("\n" * self._breaks + text)
            self._breaks = 0

    def _break(self, tag: str) -> None:
        if tag == "br":
            self._breaks = min(self._breaks + 1, 2)
        elif tag in _SPACED:
            self._breaks = 2
        elif tag in _BLOCKS:
            self._breaks = max(self._breaks, 1)
