"""The positions of links in HTML, by the standard's rules for tags, comments and raw text; the HTML is not rewritten.

Source: the tokenizer of the HTML standard (html.spec.whatwg.org, section 13.2.5, read November 2026). One pass over any
input: an unclosed construct ends the scan, for a browser shows nothing of it either. Python's parser gives the same, but
takes minutes for some megabytes of half-open tags.
"""

import re
from dataclasses import dataclass
from html import unescape
from html.entities import html5

_SPACE = " \t\n\f\r"
#: Elements whose content is text, even if it looks like tags.
_RAW = frozenset({"script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"})
_RAW_END = {name: re.compile(rf"</{name}(?=[{_SPACE}/>])", re.IGNORECASE) for name in _RAW}
_LINKING = frozenset({"a", "area"})
_TAG = re.compile(rf"</?([a-zA-Z][^{_SPACE}/>]*)")
_BETWEEN = re.compile(rf"[{_SPACE}/]*")
_NAME = re.compile(rf"[^{_SPACE}/>][^{_SPACE}/>=]*")
_EQUALS = re.compile(rf"[{_SPACE}]*=[{_SPACE}]*")
_BARE = re.compile(rf"[^{_SPACE}>]*")
_EMPTY_COMMENT, _COMMENT_END = re.compile(r"<!---?>"), re.compile(r"--!?>")
_BOGUS, _TAG_END = re.compile(r"<(?:[!?]|/[^a-zA-Z])"), re.compile(">")
_REFERENCE = re.compile(r"&(?:#\d+;?|#[xX][0-9a-fA-F]+;?|([a-zA-Z][a-zA-Z0-9]*)(;?)(=?))")

#: Attribute of a link that is not tracked; its value is ignored.
NOT_TRACKED = "data-no-track"


@dataclass(frozen=True, slots=True)
class Anchor:
    """A link's `href`: its target, and the position of its value in the text, without quotes."""

    start: int
    end: int
    target: str


@dataclass(frozen=True, slots=True)
class Anchors:
    """The trackable links of a text, in order, and the position where the pixel is inserted at its end."""

    links: tuple[Anchor, ...]
    tail: int


class _Broken(Exception):
    """The rest of the text is shown by no browser."""


def anchors(html: str) -> Anchors:
    """Return the links of `html` with their positions."""
    links: list[Anchor] = []
    began, at, tails = 0, 0, dict[str, int]()
    try:
        while (began := html.find("<", at)) >= 0:
            at = _skip_markup(html, began)
            if at > began:
                continue
            tag = _TAG.match(html, at)
            if tag is None:
                at += 1
                continue
            name, closes = tag[1].lower(), html[at + 1] == "/"
            attributes, at = _attributes(html, tag.end())
            if closes:
                tails[name] = began
            elif name in _LINKING and "href" in attributes and NOT_TRACKED not in attributes:
                start, end = attributes["href"]
                links.append(Anchor(start, end, _REFERENCE.sub(_meant, html[start:end])))
            elif name in _RAW:
                content, at = at, _needed(_RAW_END[name].search(html, at)).start()
                # A comment in a script moves the script's end by rules that are not implemented here.
                if name == "script" and html.find("<!--", content, at) >= 0:
                    raise _Broken
            elif name == "plaintext":
                raise _Broken
    except _Broken:
        pass
    shown = began if began >= 0 else len(html)
    return Anchors(tuple(links), tails.get("body", tails.get("html", shown)))


def _skip_markup(html: str, at: int) -> int:
    """Return the position after a comment, doctype or the like that begins at `at`, or `at` if none begins there."""
    if html.startswith("<!--", at):
        empty = _EMPTY_COMMENT.match(html, at)
        return empty.end() if empty else _needed(_COMMENT_END.search(html, at + 4)).end()
    return _needed(_TAG_END.search(html, at)).end() if _BOGUS.match(html, at) else at


def _needed(match: re.Match[str] | None) -> re.Match[str]:
    if match is None:
        raise _Broken
    return match


def _attributes(html: str, at: int) -> tuple[dict[str, tuple[int, int]], int]:
    """Return the positions of a tag's attribute values (the first of each name), and the position after the tag."""
    attributes: dict[str, tuple[int, int]] = {}
    while True:
        at = _needed(_BETWEEN.match(html, at)).end()
        if html.startswith(">", at):
            return attributes, at + 1
        name = _needed(_NAME.match(html, at))
        start = end = at = name.end()
        if equals := _EQUALS.match(html, at):
            start, end, at = _value(html, equals.end())
        attributes.setdefault(name[0].lower(), (start, end))


def _value(html: str, at: int) -> tuple[int, int, int]:
    """Return the start and end of an attribute's value, and where the scan continues."""
    if not html.startswith(('"', "'"), at):
        end = _needed(_BARE.match(html, at)).end()
        return at, end, end
    end = html.find(html[at], at + 1)
    if end < 0:
        raise _Broken
    return at + 1, end, end + 1


def _meant(reference: re.Match[str]) -> str:
    """Return the character of a reference by the rules for attributes: `?a=1&copy=2` contains no copyright sign."""
    name, closed, follows = reference[1], reference[2], reference[3]
    if name is None:
        return unescape(reference[0])
    meant = html5.get(f"{name};" if closed else name)
    if meant is None or (follows and not closed):
        return reference[0]
    return meant + follows
