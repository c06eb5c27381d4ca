"""Uuencoded files in the text of a mail: they are extracted, and removed from the text.

The format is POSIX's: `begin MODE NAME`, lines that start with their length, `end`. A truncated file gives its complete
lines; a line that only looks like `begin` stays text.
"""

import binascii
import re
from dataclasses import dataclass

from mailroom.domain.parsing.limits import Allowance, Defect, Reading

_BEGIN = re.compile(rb"(?m)^begin [0-7]{3,4} ([^\r\n]{1,1000})\r?\n")


@dataclass(frozen=True, slots=True)
class TextFile:
    """One file that was encoded in a text."""

    name: bytes
    content: bytes


def take_files(text: bytes, *, reading: Reading) -> tuple[bytes, list[TextFile]]:
    """Return `text` without its uuencoded files, and the files."""
    if not text.startswith(b"begin ") and b"\nbegin " not in text:
        return text, []
    left: list[bytes] = []
    files: list[TextFile] = []
    at = seek = 0
    for _ in range(reading.limits.files):
        begin = _BEGIN.search(text, seek) if reading.remaining.lines.left else None
        if begin is None:
            break
        content, seek, ended = _decode(text, begin.end(), lines=reading.remaining.lines)
        if not ended and not content:
            continue
        if not ended:
            reading.note(Defect.UUENCODE_DAMAGED)
        left.append(text[at : begin.start()])
        files.append(TextFile(begin[1].strip(), content))
        at = seek
    return b"".join([*left, text[at:]]), files


def decode_only(data: bytes, *, reading: Reading) -> bytes:
    """Return the one file of a part that is uuencoded as a whole."""
    begin = _BEGIN.search(data)
    content, _, ended = _decode(data, begin.end() if begin else 0, lines=reading.remaining.lines)
    if not ended:
        reading.note(Defect.UUENCODE_DAMAGED)
    return content if ended or content else data


def _decode(text: bytes, at: int, *, lines: Allowance) -> tuple[bytes, int, bool]:
    """Return the file whose lines begin at `at`, where it ends, and whether it has its `end` line."""
    decoded: list[bytes] = []
    while at < len(text) and lines.take():
        stop = text.find(b"\n", at)
        after = len(text) if stop < 0 else stop + 1
        line = text[at:after].rstrip(b"\r\n")
        if line.rstrip() == b"end":
            return b"".join(decoded), after, True
        piece = _line(line)
        if piece is None:
            break
        decoded.append(piece)
        at = after
    return b"".join(decoded), at, False


def _line(line: bytes) -> bytes | None:
    """Return a decoded line, or None if it is not uuencoded."""
    if not line.strip() or line[:1] == b"`":
        return b""
    wanted = (((line[0] - 32) & 63) + 2) // 3 * 4
    # Trailing blanks get lost in transit, and some encoders add a check letter.
    if not 32 <= line[0] <= 96 or len(line) - 1 > wanted + 4:
        return None
    try:
        return binascii.a2b_uu(line[: wanted + 1])
    except (binascii.Error, ValueError):
        return None
