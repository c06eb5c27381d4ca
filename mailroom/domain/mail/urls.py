"""Web URLs as browsers parse them, by the URL standard (url.spec.whatwg.org, November 2026).

Python's `urlsplit` follows RFC 3986, which browsers do not. A backslash is a slash; tabs and line ends are ignored;
`https:evil.example` has a host; a host is percent-decoded and mapped by UTS 46 without the old exceptions, so `straße.de` is
`xn--strae-oqa.de` and not `strasse.de`; `0x7f.1` and `2130706433` are 127.0.0.1. Code that shows a host, or decides by one,
takes it from here. The parser is ada, which Node.js uses too.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import ada_url

#: Browsers open longer URLs, but mail needs none, and some steps of parsing a host take quadratic time.
MAX_URL = 8_000

_WEB = frozenset({"http:", "https:"})
_PLAIN = re.compile(r"https?://(?P<host>[^/?#\\@\s]+?)(?::[0-9]{0,5})?(?=[/?#]|\Z)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WebUrl:
    """An http or https URL as a browser requests it.

    `href` is ASCII and without a user, so that every program parses it alike. `host` is a name in A-labels, an IPv4 address
    in four decimal numbers, or an IPv6 address in brackets; `port` is "" if it is the scheme's default.
    """

    href: str
    scheme: str
    host: str
    port: str
    has_user: bool

    @property
    def place(self) -> str:
        """The host, with the port if it has one."""
        return f"{self.host}:{self.port}" if self.port else self.host


# The links of one batch are the same in each of its mails.
@lru_cache(maxsize=512)
def web_url(written: str) -> WebUrl | None:
    """Return the URL that a browser would open for an absolute http or https URL; None if it would open nothing."""
    read = _read(written)
    if read is None or read.protocol not in _WEB or not read.hostname:
        return None
    has_user = bool(read.username or read.password)
    if has_user:
        read.username = read.password = ""
    return WebUrl(read.href, read.protocol.removesuffix(":"), read.hostname, read.port, has_user)


def plain_web_url(written: str) -> WebUrl | None:
    """Return the same, but None unless all URL parsers agree on the host: no user, and the host spelled as `WebUrl.host`."""
    spelt, read = _PLAIN.match(written), web_url(written)
    if spelt is None or read is None or read.has_user:
        return None
    return read if spelt["host"].lower() == read.host else None


def opaque_url(written: str, schemes: frozenset[str]) -> str | None:
    """Return a URL without a host, such as `mailto:`, as a browser normalises it; None if it has none of the schemes."""
    read = _read(written)
    return read.href if read is not None and read.protocol.removesuffix(":") in schemes and not read.hostname else None


def readable_host(host: str) -> tuple[str, tuple[str, ...]]:
    """Return a host in Unicode, and the alphabets of its labels that are not ASCII; ("", ()) if all of it is ASCII.

    For people, and shown beside the host itself: `xn--80ak6aa92e.com` reads `аррӏе.com`, and only the alphabet shows that it is
    not `apple.com`. A host with characters that are no letters has no Unicode form, for some look like a slash or a dot.
    """
    if "xn--" not in host:
        return "", ()
    letters = ada_url.idna.decode(host)
    if letters == host:
        return "", ()
    foreign = "".join(label for label in letters.split(".") if not label.isascii())
    if not all(sign.isalnum() or sign == "-" or unicodedata.category(sign).startswith("M") for sign in foreign):
        return "", ()
    names = (unicodedata.name(letter, "unknown").partition(" ")[0] for letter in foreign if letter.isalpha())
    return letters, tuple(sorted({name if name == "CJK" else name.capitalize() for name in names}))


def _read(written: str) -> ada_url.URL | None:
    if len(written) > MAX_URL:
        return None
    try:
        return ada_url.URL(written)
    except ValueError:
        return None
