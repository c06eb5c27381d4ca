"""The rule what of a mail is decoration, and what a document.

Decoration is a picture that the mail's own HTML draws by its Content-ID: by `src`, `srcset`, `background`, or `url()` in a
style. Everything else is a document, whatever its Content-Disposition says: a PDF or photo with the disposition inline, a
picture that only a link names, and one with the disposition attachment. The list's count and icon, the page, the API and
the zip file go by the result, `inline`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from mailroom.domain.mail.content_ids import cid_of, compared, spelled
from mailroom.domain.mail.data_pictures import without_data
from mailroom.domain.mail.html_tags import tags_of

#: Longer HTML is not shown (`mailroom/api/sanitising.py`), so it draws nothing.
MOST_SHOWN = 2_000_000

_MAY_NAME = re.compile(r"cid\s{0,9}[:&%]|&(?:#|colon)", re.I)
_URL = re.compile(r"url\(\s{0,20}(?:\"([^\"]{0,400})\"|'([^']{0,400})'|([^\s\"')]{0,400}))", re.I)
_IN_SRCSET = re.compile(r"cid:[^\s,]{1,400}", re.I)


class MailPart(Protocol):
    """What the rule reads of a file in a mail."""

    @property
    def content_type(self) -> str:
        """As declared."""

    @property
    def disposition(self) -> str:
        """`inline`, `attachment`, another word, or ""."""

    @property
    def content_id(self) -> str | None:
        """Its Content-ID, if it has one."""


def decorations(parts: Sequence[MailPart], detected: Sequence[str | None], html: str) -> frozenset[int]:
    """Return the indexes of the `parts` that are decoration in a mail with this HTML; `detected` are their types by content.

    Where several parts have one Content-ID, only the first is drawn.
    """
    candidates: dict[str, list[int]] = {}
    for index, part in enumerate(parts):
        if part.content_id and part.disposition != "attachment" and _is_picture(part.content_type, detected[index]):
            candidates.setdefault(compared(part.content_id), []).append(index)
    if not candidates:
        return frozenset()
    drawn = set()
    for written in drawn_ids(html):
        named = candidates.get(written.casefold(), [])
        exact = (index for index in named if spelled(parts[index].content_id or "") == written)
        drawn.update([next(exact, named[0])] if named else [])
    return frozenset(drawn)


def drawn_ids(html: str) -> set[str]:
    """Return the Content-IDs of the pictures that `html` draws, as `spelled`."""
    if not _MAY_NAME.search(html):
        return set()
    html = without_data(html)
    if len(html) > MOST_SHOWN:
        return set()
    return {cid for url in _drawn_urls(html) if (cid := cid_of(url))}


def _is_picture(declared: str, detected: str | None) -> bool:
    return (detected or declared).startswith("image/")


def _drawn_urls(html: str) -> Iterator[str]:
    for name, attributes in tags_of(html):
        if name in ("img", "image") or (name == "input" and attributes.get("type", "").lower() == "image"):
            yield attributes.get("src", "")
        if name in ("img", "source"):
            yield from _IN_SRCSET.findall(attributes.get("srcset", ""))
        yield attributes.get("background", "")
        yield from _urls_of_css(_style_texts(name, attributes))


def _style_texts(name: str, attributes: dict[str, str]) -> Iterable[str]:
    return (text for text in (attributes.get("style"), attributes.get("#text") if name == "style" else None) if text)


def _urls_of_css(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        if "(" in text:
            yield from (match[1] or match[2] or match[3] for match in _URL.finditer(_without_comments(text)))


def _without_comments(css: str) -> str:
    """Return a style without its comments; an unclosed one ends with the style."""
    kept: list[str] = []
    at = 0
    while (begin := css.find("/*", at)) >= 0:
        kept.append(css[at:begin])
        end = css.find("*/", begin + 2)
        if end < 0:
            return "".join(kept)
        at = end + 2
    return "".join([*kept, css[at:]])
