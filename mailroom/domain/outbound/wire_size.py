"""An upper bound of a mail's bytes on the wire, as MIME or as the JSON of a provider's API, whichever is more.

A request is checked by it before anything is stored, a provider's adapter by the bytes that it built: a mail that fits by
this bound fits there.
"""

from collections.abc import Iterable

from mailroom.domain.outbound.message import Content

#: Our headers, boundaries, a DKIM signature.
_FIXED = 4_096
#: A header text takes less than twice its bytes in encoded words, a quoted name four times in JSON; plus its name and line ends.
_HEADER_TIMES, _HEADER_MORE = 4, 120
_FILE_MORE = 500
#: Characters that JSON escapes with one more byte, and with five more.
_TWICE = b'"\\\b\t\n\f\r'
_SIXFOLD = bytes(set(range(0x20)) - set(_TWICE))


def wire_size(content: Content, *, parts: Iterable[str | None], lines: Iterable[str | None]) -> int:
    """Return the most bytes of a mail with the headers and files of `content`.

    Args:
        content: The content of the mail.
        parts: Its text and HTML, rendered.
        lines: Other texts that become header lines: subject, names, addresses, the link to unsubscribe.
    """
    headers = [*lines, *(one for header in content.headers for one in header)]
    size = _FIXED + sum(_header_size(one) for one in headers if one) + sum(text_size(one) for one in parts if one)
    for file in content.enclosures:
        named = len(file.filename.encode()) + len(file.content_type) + len(file.content_id or "")
        size += base64_size(file.size) + _HEADER_TIMES * named + _FILE_MORE
    return size


def text_size(text: str) -> int:
    """Return the most bytes of a text or HTML part."""
    raw = text.encode()
    # Line ends become CRLF.
    as_mime = base64_size(len(raw) + raw.count(b"\n") + raw.count(b"\r"))
    escaped = len(raw) - len(raw.translate(None, _TWICE + _SIXFOLD))
    if len(raw) + 5 * escaped <= as_mime:
        return as_mime
    sixfold = len(raw) - len(raw.translate(None, _SIXFOLD))
    return max(as_mime, len(raw) + escaped + 4 * sixfold)


def base64_size(octets: int) -> int:
    """Return the bytes of `octets` in base64: lines of 76, each with CRLF, for 57 octets."""
    return -(-octets // 57) * 78


def _header_size(text: str) -> int:
    return _HEADER_TIMES * len(text.encode()) + _HEADER_MORE
