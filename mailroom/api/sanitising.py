"""Sanitises a mail's HTML for display.

By an allow-list (nh3, a binding to ammonia): no script, frame, form, SVG or MathML, and no external resource. The
page shows the result in a sandboxed frame with its own policy, so this is the first of three barriers.

In the frame elements keep of their styles what `letter_styles` allows; a style sheet is first written into the elements that
it selects (css-inline), so no selector comes through. For programs there are no styles, as before.

The parser behind it follows the HTML standard, whose algorithm is quadratic in nested elements and in the attributes of a
tag, and multiplies formatting elements (measured: 200 000 open `<div>`, one megabyte, take two minutes). So all but
short HTML is parsed in a child process with limits, started by this file's path: of Mailroom it imports only what reads URLs,
pictures and styles. HTML with a style sheet is always parsed there, and once more without it if that fails.
"""

import json
import resource
import subprocess
import sys
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from threading import BoundedSemaphore

import css_inline
import nh3

from mailroom.api.embedded_pictures import EmbeddedPictures
from mailroom.domain.mail.content_ids import cid_of, compared
from mailroom.domain.mail.data_pictures import in_styles
from mailroom.domain.mail.html_tags import tags_of
from mailroom.domain.mail.letter_styles import SafeStyle, page_style, safe_style
from mailroom.domain.mail.urls import opaque_url, web_url

#: The most characters that are parsed at all, and in this process (the worst of these take 50 ms).
MAX_CHARACTERS, SHORT = 2_000_000, 8_000
#: Limits of the child process: seconds of wall time, seconds of CPU time, bytes of memory.
CHILD_SECONDS, CHILD_CPU_SECONDS, CHILD_MEMORY = 10, 2, 1 << 30

_TAGS = frozenset(nh3.ALLOWED_TAGS) - {"area", "map"} | {"center", "font"}
_DROPPED_WHOLE = {
    *("script", "style", "title", "template", "svg", "math", "noscript", "iframe", "frameset", "object", "embed"),
    *("select", "textarea", "audio", "video", "canvas"),
}
_TABLE = {"align", "valign", "width", "height", "bgcolor"}
_CELL = _TABLE | {"colspan", "rowspan"}
_ATTRIBUTES = {
    "*": {"dir", "lang"},
    "a": {"href"},
    "div": {"align"},
    "img": {"src", "alt", "width", "height"},
    "ol": {"start"},
    "p": {"align"},
    "table": _TABLE | {"border", "cellpadding", "cellspacing"},
    "td": _CELL,
    "th": _CELL,
    "tr": _TABLE,
}
#: In the frame alone.
_LOOKS = {"*": {"style"}, "font": {"color", "size", "face"}}
#: The most characters of HTML with its style sheets written into the elements.
_MAX_INLINED = 2 * MAX_CHARACTERS
#: The most different styles of one letter; further ones are left out.
_MOST_STYLES = 3_000
#: Types of pictures that are shown inside a mail; not SVG, which is a document.
PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
#: The most bytes of pictures shown inside a mail: of each, and of all together.
MAX_PICTURE, MAX_PICTURES = 300_000, 2_000_000
_HOSTLESS = frozenset({"mailto", "tel"})
_LINKS = {"http", "https", *_HOSTLESS}
_CHILDREN = BoundedSemaphore(2)


@dataclass(frozen=True, slots=True)
class SafeHtml:
    """Sanitised HTML; its links' targets, in order; the number of blocked external pictures.

    `content_ids` are those of the mail's own pictures that it draws, as `compared`; `embedded_left_out` is the number of
    `data:` pictures that are left out. For the frame: `page` is the style of the letter's body, `coloured` whether the letter
    has colours of its own, `hidden` the number of elements that its styles hide.
    """

    html: str
    links: tuple[str, ...] = ()
    remote_pictures: int = 0
    content_ids: tuple[str, ...] = ()
    embedded_left_out: int = 0
    page: str = ""
    coloured: bool = False
    hidden: int = 0


def sanitise(html: str) -> SafeHtml | None:
    """Return `html` for programs: links, `cid:` and `data:` pictures stay; None if it is too large or costly to parse."""
    return _clean_in_limits(html, None, MAX_PICTURES)


def sanitise_for_frame(html: str, pictures: Mapping[str, str], *, room: int = MAX_PICTURES) -> SafeHtml | None:
    """Return `html` for the frame, without working links: each is replaced by its number.

    `pictures` maps content ids to data URIs; of equal ones the first counts. `room` is what `data:` pictures may have, in bytes.
    """
    return _clean_in_limits(html, {compared(cid): uri for cid, uri in reversed(list(pictures.items()))}, room)


def data_uri(content: bytes, content_type: str) -> str:
    """Return a picture as a data URI."""
    return f"data:{content_type};base64,{b64encode(content).decode()}"


def plain_link(url: str) -> str | None:
    """Return `url` as a browser requests it, in ASCII and without user info; None if it is not a usable link.

    `https://bank.example@evil.example/` comes out as `https://evil.example/`, a look-alike host as `xn--...`.
    """
    read = web_url(url)
    return read.href if read is not None else opaque_url(url, _HOSTLESS)


@dataclass(slots=True)
class _Attributes:
    """Decides on each attribute, and collects links. `pictures` is None when the HTML is for programs.

    A `data:` picture that begins with `mark` is one that may be shown (`embedded_pictures`).
    """

    pictures: Mapping[str, str] | None
    mark: str
    links: list[str] = field(default_factory=list)
    content_ids: dict[str, None] = field(default_factory=dict)
    remote: int = 0
    left_out: int = 0
    styles: dict[str, SafeStyle] = field(default_factory=dict)
    coloured: bool = False
    hidden: int = 0

    def keep(self, tag: str, name: str, value: str) -> str | None:
        if (tag, name) == ("a", "href"):
            return self._link(value)
        if name == "style":
            return self._style(value)
        self.coloured |= name in ("bgcolor", "color")
        return self._source(value.strip()) if name == "src" else value

    def _style(self, value: str) -> str | None:
        safe = self.styles.get(value)
        if safe is None:
            # Letters repeat their styles: reading each once, and no more than so many, bounds the time.
            safe = self.styles[value] = safe_style(value) if len(self.styles) < _MOST_STYLES else SafeStyle()
        self.coloured |= safe.coloured
        self.hidden += safe.hides
        return safe.css or None

    def _link(self, value: str) -> str | None:
        target = plain_link(value)
        if target is None:
            return None
        self.links.append(target)
        return target if self.pictures is None else f"#{len(self.links)}"

    def _source(self, value: str) -> str | None:
        if cid := cid_of(value):
            self.content_ids[compared(cid)] = None
            return value if self.pictures is None else self.pictures.get(compared(cid))
        if value.startswith(self.mark):
            return value
        embedded = value.lower().startswith("data:")
        self.left_out += embedded
        self.remote += not embedded
        return None


def _clean_in_limits(html: str, pictures: Mapping[str, str] | None, room: int) -> SafeHtml | None:
    embedded = EmbeddedPictures(largest=MAX_PICTURE, room=room)
    html = embedded.take(html)
    if len(html) > MAX_CHARACTERS:
        return None
    sheets = pictures is not None and "<style" in html.lower()
    if len(html) <= SHORT and not sheets:
        safe: SafeHtml | None = _clean(html, pictures, embedded.mark)
    else:
        safe = _clean_apart(html, pictures, embedded.mark, sheets=sheets)
        if safe is None and sheets:
            safe = _clean_apart(html, pictures, embedded.mark, sheets=False)
    return replace(safe, html=embedded.put_back(safe.html)) if safe else None


def _clean(html: str, pictures: Mapping[str, str] | None, mark: str, *, sheets: bool = False) -> SafeHtml:
    attributes, styled = _Attributes(pictures, mark), _inlined(html) if sheets else html
    cleaned = nh3.clean(
        styled,
        tags=set(_TAGS),
        clean_content_tags=_DROPPED_WHOLE,
        attributes=_ATTRIBUTES if pictures is None else _with_looks(),
        attribute_filter=attributes.keep,
        url_schemes=_LINKS | {"cid", "data"},
        link_rel="noopener noreferrer nofollow",
    )
    left_out = attributes.left_out + in_styles(html)
    safe = SafeHtml(cleaned, tuple(attributes.links), attributes.remote, tuple(attributes.content_ids), left_out)
    if pictures is None:
        return safe
    page = page_style(_body_style(styled))
    return replace(safe, page=page.css, coloured=attributes.coloured or page.coloured, hidden=attributes.hidden)


def _with_looks() -> dict[str, set[str]]:
    return {tag: _ATTRIBUTES.get(tag, set()) | _LOOKS.get(tag, set()) for tag in (*_ATTRIBUTES, *_LOOKS)}


def _inlined(html: str) -> str:
    """Return `html` with its style sheets written into its elements; nothing is loaded, and at-rules are left out."""
    inliner = css_inline.CSSInliner(load_remote_stylesheets=False, keep_style_tags=False)
    try:
        styled = inliner.inline(html)
    except css_inline.InlineError:
        return html
    return styled if len(styled) <= _MAX_INLINED else html


def _body_style(html: str) -> str:
    """Return the style of the letter's body, with its attributes for colours."""
    body = next((attributes for name, attributes in tags_of(html) if name == "body"), {})
    old = {"background-color": body.get("bgcolor", ""), "color": body.get("text", "")}
    return "; ".join([*(f"{name}: {value}" for name, value in old.items() if value), body.get("style", "")])


def _clean_apart(html: str, pictures: Mapping[str, str] | None, mark: str, *, sheets: bool) -> SafeHtml | None:
    named = dict(pictures) if pictures is not None else None
    task = json.dumps({"html": html, "pictures": named, "mark": mark, "sheets": sheets}).encode()
    command = [sys.executable, "-I", __file__]
    with _CHILDREN:
        try:
            done = subprocess.run(command, input=task, capture_output=True, timeout=CHILD_SECONDS, check=True)
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
            return None
    values = json.loads(done.stdout)
    return SafeHtml(**values | {name: tuple(values[name]) for name in ("links", "content_ids")})


def _child() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (CHILD_MEMORY, CHILD_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CHILD_CPU_SECONDS, CHILD_CPU_SECONDS))
    json.dump(asdict(_clean(**json.load(sys.stdin.buffer))), sys.stdout)


if __name__ == "__main__":
    _child()
