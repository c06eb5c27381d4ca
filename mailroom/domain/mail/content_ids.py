"""Content-IDs and the URLs that name them (RFC 2392), in one spelling.

`cid:logo%40x.test` names the part with `Content-ID: <logo@x.test>`. The URL is percent-encoded and without angle brackets,
a browser removes line ends from it, and letters' case does not count, as in Outlook: RFC 5322 lets the case of what precedes
the at sign count, but programs that rewrite mails change it.
"""

from urllib.parse import unquote

_SCHEME = "cid:"


def spelled(content_id: str) -> str:
    """Return a Content-ID without angle brackets, blanks and percent-encoding."""
    return unquote("".join(content_id.split()).strip("<>")).strip("<> ")


def compared(content_id: str) -> str:
    """Return a Content-ID in the form in which two are compared."""
    return spelled(content_id).casefold()


def cid_of(url: str) -> str | None:
    """Return the Content-ID that a `cid:` URL names, as `spelled`; None for another URL."""
    plain = url.strip()
    return (spelled(plain[len(_SCHEME) :]) or None) if plain[: len(_SCHEME)].lower() == _SCHEME else None
