"""Uuencoded files in the text of a mail: they are extracted, and removed from the text.

The format is POSIX's: `begin MODE NAME`, lines that start with their length, `end`; or
`begin-base64 MODE NAME`, base64, `====`. A truncated file gives its complete
lines; a line that only looks like `begin` stays text.
"""

import binascii
import re
from dataclasses import dataclass

from mailroom.domain.parsing.limits import Allowance, Defect, Reading

_BEGIN = re.compile(rb"(?m)^begin(-base64)? [0-7]{3,6}(?: ([^\r\n]{0,1000}))?\r?\n")
_END_OF_BASE64 = re.compile(rb"(?m)^={4}[ \t]*(?:\r?\n|\Z)")


@dataclass(frozen=True, slots=True)
class TextFile:
    """One file that was encoded in a text."""

    name: bytes
    content: bytes


def take_files(text: bytes, *, reading: Reading) -> tuple[bytes, list[TextFile]]:
    """Return `text` without its uuencoded files, and the files."""
    if not text.startswith(b"begin") and b"\nbegin" not in text:
        return text, []
    left: list[bytes] = []
    files: list[TextFile] = []
    at = seek = 0
    last_end = text.rfind(b"\n====") if b"begin-base64 " in text else -1
    for _ in range(reading.limits.files):
        begin = _BEGIN.search(text, seek) if reading.remaining.lines.left else None
        if begin is None:
            break
        if begin[1] and begin.end() > last_end + 1:
            seek = begin.end()
            continue
        if begin[1]:
            content, seek, ended = _decode_base64(text, begin.end())
        else:
            content, seek, ended = _decode(text, begin.end(), lines=reading.remaining.lines)
        name = (begin[2] or b"").strip()
        if not ended and not (content and name):
            continue
        if not ended:
            reading.note(Defect.UUENCODE_DAMAGED)
        left.append(text[at : begin.start()])
        files.append(TextFile(name, content))
        at = seek
    return b"".join([*left, text[at:]]), files


def decode_part(data: bytes, *, is_text: bool, reading: Reading) -> tuple[bytes, list[TextFile], bytes]:
    """Return the content of a part that is declared uuencoded, the files besides it, and the text around them.

    A text with files in it stays a text. In a file, the first one is the part, and the others are besides.
    """
    rest, files = take_files(data, reading=reading)
    words = rest if rest.strip() else b""
    if not files:
        return decode_only(data, reading=reading), [], b""
    if is_text and (words or len(files) > 1):
        return rest, files, b""
    return files[0].content, files[1:], words


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
        if line.rstrip().lower() == b"end":
            return b"".join(decoded), after, True
        piece = _line(line)
        if piece is None:
            break
        decoded.append(piece)
        at = after
    return b"".join(decoded), at, False


def _decode_base64(text: bytes, at: int) -> tuple[bytes, int, bool]:
    """Return the file of `begin-base64` (POSIX's `uuencode -m`), which ends with `====`; without content if it is damaged."""
    end = _END_OF_BASE64.search(text, at)
    if end is None:
        return b"", len(text), False
    try:
        return binascii.a2b_base64(text[at : end.start()]), end.end(), True
    except binascii.Error:
        return b"", end.end(), False


def _line(line: bytes) -> bytes | None:
    """Return a decoded line, or None if it is not uuencoded."""
    if not line.strip() or line[:1] == b"`":
        return b""
    wanted = (((line[0] - 32) & 63) + 2) // 3 * 4
    # Trailing blanks get lost in transit, and some encoders add a check letter.
    if not 32 <= line[0] <= 96 or len(line) - 1 > wanted + 4:
        return None
    try:
        # Only the letters that carry its bytes: encoders leave rubbish in the rest of the last group.
        return binascii.a2b_uu(line[: 1 + (((line[0] - 32) & 63) * 4 + 2) // 3])
    except (binascii.Error, ValueError):
        return None
