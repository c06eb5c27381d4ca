"""Decoding of Content-Transfer-Encoding (RFC 2045 section 6), as far as possible; damage is recorded, never raised."""

import binascii
import re

from mailroom.domain.parsing.limits import Allowance, Defect, Reading
from mailroom.domain.parsing.uuencode import decode_only

_NOT_BASE64 = bytes(
    byte for byte in range(256) if not (chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "+/="))
)
_BASE64 = bytes(byte for byte in range(256) if byte not in _NOT_BASE64)
_BLANKS = b" \t\r\n"
#: Letters of a word of base64 that was cut by blanks, on average; words of languages are shorter.
_LONG_WORD = 9
_UNDERSCORE = bytes.maketrans(b"_", b"-")
_SOFT_BREAK = re.compile(rb"=\r++\n?")
_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_ENCODING = re.compile(rb"base64|quoted-?printable|x-uu\w*|uu-?e\w*|7-?bit|8-?bit|binary")
#: A sign before another, before blanks, or before a CR alone: all that the decoder does not read as it should.
_ODD_SIGN = re.compile(rb"=(?:[= \t]|\r(?!\n))")
_BLANK_SOFT_BREAK = re.compile(rb"=[ \t]+(?=\r?\n)")


def transfer_decode(data: bytes, encoding: bytes | None, *, reading: Reading) -> bytes:
    """Return `data` decoded; comments and rubbish around the name of the encoding are ignored."""
    written = (encoding or b"7bit").lower()
    match = _ENCODING.search(written) or _ENCODING.search(_spelled(written))
    if match is None:
        reading.note(Defect.ENCODING_UNKNOWN)
        return data
    if match[0] == b"base64" and _is_prose(data):
        reading.note(Defect.BASE64_DAMAGED)
        return data
    if match[0] == b"base64":
        decoded, whole = base64_bytes(data, lines=reading.remaining.lines)
        if not whole:
            reading.note(Defect.BASE64_DAMAGED)
        return decoded
    if match[0].startswith(b"quoted"):
        return quoted_printable(data, lines=reading.remaining.lines)
    if b"uu" in match[0]:
        return decode_only(data, reading=reading)
    return data


def _spelled(encoding: bytes) -> bytes:
    """Return the name of an encoding as the RFC spells it: some programs write `Base 64` or `quoted_printable`."""
    return encoding.translate(_UNDERSCORE, b" \t\r\n").replace(b"base-64", b"base64")


def _is_prose(data: bytes) -> bool:
    """Whether a part is plain words despite its declaration: base64 has no blanks within its lines, or few."""
    lines = data[:2_000].strip().splitlines()[:5]
    if sum(1 for line in lines if b" " in line.strip()) * 2 <= len(lines):
        return False
    words = b" ".join(lines).split()
    if words[-1].endswith(b"=") and sum(map(len, words)) % 4 == 0:
        return False
    return any(one.translate(None, _BASE64) for one in words) or sum(map(len, words)) < _LONG_WORD * len(words)


def quoted_printable(data: bytes, *, lines: Allowance) -> bytes:
    """Return quoted-printable bytes decoded; an invalid escape is kept unchanged.

    Blanks after a soft line break, which some servers add, are removed as long as there are `lines` left.
    """
    return binascii.a2b_qp(_mended(data, lines) if _ODD_SIGN.search(data) else data)


def _mended(data: bytes, lines: Allowance) -> bytes:
    # The decoder drops everything from a soft break by CR alone to the next LF.
    if data.count(b"=\r") != data.count(b"=\r\n"):
        data = _SOFT_BREAK.sub(b"=\n", data)
    if lines.left and (b"= " in data or b"=\t" in data):
        data, mended = _BLANK_SOFT_BREAK.subn(b"=", data, count=lines.left)
        lines.take(mended)
    return both_equals(data)


def is_uuencoded(encoding: bytes | None) -> bool:
    """Whether a part declares that it is uuencoded."""
    if encoding is None or b"uu" not in encoding.lower():
        return False
    match = _ENCODING.search(encoding.lower())
    return match is not None and b"uu" in match[0]


def both_equals(data: bytes) -> bytes:
    """Return quoted-printable with each `=` before another escaped: the decoder would make one of two."""
    # Twice: the first pass leaves every other pair of a run.
    return data.replace(b"==", b"=3D=").replace(b"==", b"=3D=") if b"==" in data else data


def base64_bytes(data: bytes, *, lines: Allowance) -> tuple[bytes, bool]:
    """Return the decoded base64 in `data`, and whether it was intact.

    Other characters are skipped, missing padding is added, and lines with padding in each are decoded one by one, as long
    as there are `lines` left.
    """
    if _is_plain_base64(data):
        return binascii.a2b_base64(data), True
    clean = data.translate(None, _NOT_BASE64)
    body = clean.rstrip(b"=")
    if b"=" not in body:
        return _padded(body), len(body) % 4 != 1 and len(clean) == len(data.translate(None, b" \t\r\n"))
    return _piecewise(data, lines)


def _is_plain_base64(data: bytes) -> bool:
    """Return whether there is nothing but base64 in lines, padded at its end, which is decoded without a cleaned copy.

    Nearly all mail is like that, and a copy is as large as the mail.
    """
    end = data.find(b"=")
    tail = data[end:] if end >= 0 else b""
    padding = tail.count(b"=")
    if padding > 2 or tail.strip(_BLANKS + b"=") or data.translate(None, _BASE64 + _BLANKS):
        return False
    return (len(data) - sum(data.count(blank) for blank in _BLANKS)) % 4 == 0


def _piecewise(data: bytes, allowed: Allowance) -> tuple[bytes, bool]:
    """Decode up to the first padding, then following lines as long as each is valid base64; a footer is not."""
    end = data.find(b"=")
    decoded = [_padded(data[:end].translate(None, _NOT_BASE64))]
    rest = data[end:].lstrip(b"=")
    lines = rest.split(b"\n", allowed.left)
    granted = allowed.take(len(lines))
    for line in (one.strip() for one in lines[:granted]):
        if line and not (_LINE.fullmatch(line) and len(line) % 4 == 0):
            return b"".join(decoded), False
        decoded.append(_padded(line.rstrip(b"=")))
    return b"".join(decoded), len(lines) <= granted


def _padded(body: bytes) -> bytes:
    if len(body) % 4 == 1:
        body = body[:-1]
    return binascii.a2b_base64(body + b"=" * (-len(body) % 4))
