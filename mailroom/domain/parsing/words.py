"""Unstructured header text: encoded words (RFC 2047), raw 8-bit text, and the cleaning of the result.

Adjacent words of one charset are joined as bytes before they are decoded, for mailers split between the bytes of one
letter. The scan moves forward only: a missing `?=` is searched for once.
"""

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mailroom.domain.parsing.charsets import decode_header, decode_word, is_text, storable
from mailroom.domain.parsing.limits import Allowance, Defect, Reading
from mailroom.domain.parsing.transfer import base64_bytes, both_equals

_OPENING = re.compile(rb"=\?([\w.:+-]{1,60})(?:\*[\w-]{0,20})?\?([bBqQ])\?")
_QUESTION_INSIDE = re.compile(rb"\?=[0-9A-Fa-f]{2}")
_BLANKS = re.compile(r"\s+")
_WORD_LINES = 1_000


@dataclass(slots=True)
class _Run:
    """Bytes of one charset (None: not encoded) that are decoded together."""

    charset: str | None
    data: bytes
    source: bytes = b""
    """The undecoded words of the header."""


def header_text(value: bytes | None, *, hint: str | None, reading: Reading) -> str | None:
    """Return a header's value as one line of text, or None if the header is missing."""
    if value is None:
        return None
    return _BLANKS.sub(" ", decode_words(value, hint=hint, reading=reading)).strip()


def decode_words(value: bytes, *, hint: str | None, reading: Reading) -> str:
    """Return `value` with its encoded words decoded, storable."""
    if b"=?" not in value:
        return storable(decode_header(value, hint))
    runs: list[_Run] = []
    for run in _runs(value, reading=reading):
        if runs and run.charset is not None and runs[-1].charset == run.charset:
            runs[-1].data += run.data
            runs[-1].source += run.source
        else:
            runs.append(run)
    return storable("".join(_decode(run, hint) for run in runs))


def _runs(value: bytes, *, reading: Reading) -> Iterator[_Run]:
    """Yield encoded and plain runs in order; blanks between two encoded words are dropped."""
    at, words = 0, 0
    seek = 0
    while match := _OPENING.search(value, seek):
        close = _closing(value, match)
        if close < 0:
            break
        broken = _OPENING.search(value, match.end(), close)
        if broken:
            seek = broken.start()
            continue
        words += 1
        if words > reading.limits.encoded_words:
            reading.note(Defect.TOO_MANY_WORDS)
            break
        between = value[at : match.start()]
        if between.strip() or (words == 1 and between):
            yield _Run(None, between)
        yield _Run(
            match[1].decode("ascii").lower(),
            _word(match[2], value[match.end() : close]),
            value[match.start() : close + 2],
        )
        at = seek = close + 2
    if value[at:]:
        yield _Run(None, value[at:])


def _closing(value: bytes, opening: re.Match[bytes]) -> int:
    """Return the position of the word's `?=`. An unescaped question mark before an escape (`?=3D`) does not close it."""
    close = value.find(b"?=", opening.end())
    while close >= 0 and opening[2] in b"qQ" and _QUESTION_INSIDE.match(value, close):
        later = value.find(b"?=", close + 2)
        if later < 0 or value.find(b"=?", close + 2, later) >= 0 or b" " in value[close:later]:
            break
        close = later
    return close


def _word(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"bB":
        return base64_bytes(text, lines=Allowance(_WORD_LINES))[0]
    # A word has no soft line break: the sign at its end is one that was not encoded.
    if text.endswith(b"="):
        text += b"3D"
    try:
        return binascii.a2b_qp(both_equals(text), header=True)
    except (binascii.Error, ValueError):
        return text


def _decode(run: _Run, hint: str | None) -> str:
    if run.charset is None:
        return decode_header(run.data, hint)
    # Words that were cut in transit decode to noise; then the undecoded text of the header is returned.
    return (
        decode_word(run.data, run.charset, hint=hint)
        if is_text(run.data, run.charset)
        else run.source.decode("latin-1")
    )
