"""Blank mails: a text and an HTML in which a reader sees nothing. Sent, they are a mistake of a template or of its data."""

import re
import unicodedata

from mailroom.outbound.plain_text import text_of

#: What a reader sees in HTML besides its text.
_PICTURED = re.compile(r"<(?:img|svg|picture|video|audio|object|embed|iframe|input|canvas|hr)\b", re.IGNORECASE)
_PAINTED = re.compile(r"background|url\(", re.IGNORECASE)
#: A word behind a tag; an entity may be a blank.
_WORD = re.compile(r"(?:\A|>)\s*+\w")
#: Behind the last of these there is no style sheet, script or title.
_HIDDEN_ENDS = ("</style", "</head", "</title", "</script", "-->")
_READ = 100_000


def is_blank(text: str | None, html: str | None) -> bool:
    """Return whether neither the text nor the HTML shows anything."""
    return not _is_visible(text or "") and _is_blank_html(html or "")


def _is_visible(text: str) -> bool:
    return re.search(r"\w", text) is not None or any(unicodedata.category(char)[0] in "LNPS" for char in text)


def _is_blank_html(html: str) -> bool:
    if not html.strip():
        return True
    lower = html[:_READ].lower()
    body = html[max(lower.rfind(end) for end in _HIDDEN_ENDS) + 1 :]
    if _WORD.search(body) or len(html) > _READ:
        return False
    pictured = _PICTURED.search(html) or _PAINTED.search(body)
    return pictured is None and not _is_visible(text_of(html))
