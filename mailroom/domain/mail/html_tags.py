"""The tags of HTML with their attributes, in time linear in its length.

No tree is built: the algorithm of the HTML standard takes quadratic time for hostile mail. What is no markup (comments,
scripts, titles) and what a mail's page never shows (templates, frames) is passed over.
"""

import re
from collections.abc import Iterator
from html import unescape

_OPENING = re.compile(r"<(?:(!--)|([a-zA-Z][^\s/>]*+)|[!?])")
_ATTRIBUTE = re.compile(
    r"[\s/]*+(?:(>)|([^\s/>][^\s/>=]*+)(?:\s*+=\s*+(?:\"([^\"]*+)(\"?)|'([^']*+)('?)|([^\s>]*+)))?+)"
)
_STYLE_ENDS = re.compile(r"</style", re.I)
_ENDS = {
    name: re.compile(f"</{name}\\b", re.I)
    for name in (
        *("script", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "noscript", "template"),
        *("svg", "math", "object", "select", "audio", "video", "canvas"),
    )
}


def tags_of(html: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the name, in lower case, and the attributes of each opening tag; of `style` its text too, as `#text`."""
    at = 0
    while match := _OPENING.search(html, at):
        if match[1]:
            at = _after_comment(html, match.end())
            continue
        if not match[2]:
            # A declaration or instruction, and `<![if !mso]>`: a comment up to the next bracket.
            at = html.find(">", match.end()) + 1 or len(html)
            continue
        name = match[2].lower()
        attributes, at = _attributes(html, match.end())
        if attributes is None:
            return
        ends = _STYLE_ENDS if name == "style" else _ENDS.get(name)
        if ends is not None:
            end = ends.search(html, at)
            stop = end.start() if end else len(html)
            if name == "style":
                yield name, attributes | {"#text": html[at:stop]}
            at = stop
        else:
            yield name, attributes


def _after_comment(html: str, at: int) -> int:
    """Return where a comment ends whose text begins at `at`; an unclosed one ends with the HTML."""
    if html.startswith((">", "->"), at):
        return html.index(">", at) + 1
    end = html.find("-->", at)
    return len(html) if end < 0 else end + 3


def _attributes(html: str, at: int) -> tuple[dict[str, str] | None, int]:
    """Return a tag's attributes and where it ends; None if it is not closed, so that it is no tag."""
    found: dict[str, str] = {}
    while match := _ATTRIBUTE.match(html, at):
        at = match.end()
        if match[1]:
            return {name: unescape(value) for name, value in found.items()}, at
        double, single, bare = match[3], match[5], match[7]
        if (double is not None and not match[4]) or (single is not None and not match[6]):
            break
        value = double if double is not None else single if single is not None else bare
        found.setdefault(match[2].lower(), value or "")
    return None, len(html)
