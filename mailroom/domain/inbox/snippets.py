"""The beginning of a letter as one line of plain text, for lists."""

import re

from mailroom.domain.inbox.search_words import html_text
from mailroom.domain.readable import shown

#: The characters of a snippet, and how many of text and HTML are enough to make one.
LENGTH, OF_TEXT, OF_HTML = 120, 800, 20_000

#: Comments, and a tag that was cut off.
_NO_TEXT = re.compile(r"<!--.*?(?:-->|\Z)|<[^<>]*\Z", re.S)
#: A space that stands where a tag was.
_BEFORE_MARK = re.compile(r" (?=[,.;:!?)](?: |\Z))")
#: Characters without width, which senders put behind a preheader to fill the line.
_EMPTY = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200d\u2060-\u2064\u3164\ufe00-\ufe0f\uffa0]"
)


def snippet(text: str | None, html: str | None) -> str:
    """Return the first `LENGTH` characters of a letter's text, or of its HTML's text; "" if there is none.

    `text` and `html` may be cut off anywhere. Characters that deceive the eye are left out (`readable.shown`).
    """
    of_html = html_text(_NO_TEXT.sub(" ", (html or "")[:OF_HTML]), most=OF_HTML)
    return _line(text or "") or _line(_BEFORE_MARK.sub("", " ".join(of_html.split())))


def _line(text: str) -> str:
    words = " ".join(_EMPTY.sub("", shown(" ".join(text.split()))).split())
    return words if len(words) <= LENGTH else f"{words[: LENGTH - 1].rstrip()}…"
