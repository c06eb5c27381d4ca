"""Content-Transfer-Encoding undone (RFC 2045 section 6): what can be decoded is, and damage is noted, never raised."""

import binascii
import re

from mailroom.domain.parsing.limits import Allowance, Defect, Reading
from mailroom.domain.parsing.uuencode import decode_only

_NOT_BASE64 = bytes(
    byte for byte in range(256) if not (chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "+/="))
)
_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_ENCODING = re.compile(rb"base64|quoted-?printable|x-uu\w*|uu-?encode\w*|7-?bit|8-?bit|binary")
_BLANK_SOFT_BREAK = re.compile(rb"=[ \t]+(?=\r?\n)")


def transfer_decode(data: bytes, encoding: bytes | None, *, reading: Reading) -> bytes:
    """Return `data` as it was before it was encoded for the way; comments and rubbish around the word are ignored."""
    match = _ENCODING.search((encoding or b"7bit").lower())
    if match is None:
        reading.note(Defect.ENCODING_UNKNOWN)
        return data
    if match[0] == b"base64" and _is_prose(data):
        reading.note(Defect.BASE64_DAMAGED)
        return data
    if match[0] == b"base64":
        decoded, whole = base64_bytes(data, lines=reading.still.lines)
        if not whole:
            reading.note(Defect.BASE64_DAMAGED)
        return decoded
    if match[0].startswith(b"quoted"):
        return quoted_printable(data, lines=reading.still.lines)
    if b"uu" in match[0]:
        return decode_only(data, reading=reading)
    return data


def _is_prose(data: bytes) -> bool:
    """Whether a part is written in words, whatever it declares: base64 has no blanks within its lines."""
    lines = data[:2_000].strip().splitlines()[:5]
    return sum(1 for line in lines if b" " in line.strip()) * 2 > len(lines)


def quoted_printable(data: bytes, *, lines: Allowance) -> bytes:
    """Return quoted-printable bytes decoded; an escape that is none stays as it is.

    Blanks after a soft line break, which some servers add, are taken off as long as there are `lines` left.
    """
    if lines.left and (b"= " in data or b"=\t" in data):
        data, mended = _BLANK_SOFT_BREAK.subn(b"=", data, count=lines.left)
        lines.take(mended)
    return binascii.a2b_qp(data)


def base64_bytes(data: bytes, *, lines: Allowance) -> tuple[bytes, bool]:
    """Return what base64 there is in `data`, and whether that was all.

    Strange characters are left out, missing padding is added, and lines that each carry their own padding are decoded
    one by one, as long as there are `lines` left.
    """
    clean = data.translate(None, _NOT_BASE64)
    body = clean.rstrip(b"=")
    if b"=" not in body:
        return _padded(body), len(body) % 4 != 1 and len(clean) == len(data.translate(None, b" \t\r\n"))
    return _piecewise(data, lines)


def _piecewise(data: bytes, allowed: Allowance) -> tuple[bytes, bool]:
    """Decode up to the first padding, then the lines below it that are base64 by themselves; a footer is not."""
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
