"""Pictures that HTML contains as `data:` URIs (RFC 2397), found and read in time linear in the HTML's length."""

import base64
import binascii
import re
from collections.abc import Callable
from html import unescape
from urllib.parse import unquote_to_bytes

_HEAD = r"data:image/[\w.+-]{1,40}(?:;[\w=.+-]{1,60}){0,4};base64,"
#: Letters of base64, escaped or not, with what mail programs put between lines.
_LETTER = r"-A-Za-z0-9+/=_%"
_QUOTED = rf"(?<=[\"'])\s{{0,9}}{_HEAD}(?:[{_LETTER}\s]++|&#(?:10|13|x0?[ad]);)*+(?=[\"'])"
_BARE = rf"(?<==){_HEAD}[{_LETTER}]*+"
_PICTURE = re.compile(f"{_QUOTED}|{_BARE}", re.I)
_ANY = re.compile(";base64,", re.I)
#: Where HTML draws one otherwise than by `src`, which a mail's page never does.
_IN_STYLES = re.compile(r"url\(\s{0,9}[\"']?data:image/|background\s{0,9}=\s{0,9}[\"']?data:image/", re.I)
_MAGIC = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))


def replace_pictures(html: str, replacement: Callable[[str], str]) -> str:
    """Return `html` with the result of `replacement` for each `data:` picture in an attribute."""
    return _PICTURE.sub(lambda match: replacement(match[0]), html) if _ANY.search(html) else html


def without_data(html: str) -> str:
    """Return `html` with empty pictures in their place."""
    return replace_pictures(html, lambda _: "data:,")


def in_styles(html: str) -> int:
    """Return how many `data:` pictures are in styles and backgrounds of `html`."""
    return sum(1 for _ in _IN_STYLES.finditer(html)) if "data:" in html.lower() else 0


def read_picture(uri: str, *, most: int) -> tuple[str, bytes] | None:
    """Return type, by its first bytes, and content of a `data:` picture; None if it is none, or has more than `most` bytes."""
    data = unescape(uri.partition(",")[2])
    if len(data) > 6 * most:
        return None
    plain = b"".join(unquote_to_bytes(data).split()).rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    try:
        content = base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        return None
    kind = next((kind for magic, kind in _MAGIC if content.startswith(magic)), None)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        kind = "image/webp"
    return (kind, content) if kind and len(content) <= most else None
