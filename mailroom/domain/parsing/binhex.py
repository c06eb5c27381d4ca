"""Files in BinHex 4.0 in the text of a mail: their data forks are extracted, and removed from the text.

The format is RFC 1741's appendix A: six bits a letter between two colons, then run lengths (90 hex), then a header with
the name and the lengths of the two forks. Checksums are ignored: whatever can be decoded is returned.
"""

import binascii
import re
import struct

from mailroom.domain.parsing.limits import Defect, Reading
from mailroom.domain.parsing.uuencode import TextFile

_BEGIN = re.compile(rb"(?m)^\(This file must be converted with BinHex[^\r\n]{0,40}\)[ \t]{0,9}\s{1,20}:")
_LETTERS = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_TO_BASE64 = bytes.maketrans(_LETTERS, _BASE64)
_FOREIGN = bytes(byte for byte in range(256) if byte not in _LETTERS)
_RUN = 0x90
_HEAD = struct.Struct(">x4s4sHII2x")


def take_binhex(text: bytes, *, reading: Reading) -> tuple[bytes, list[TextFile]]:
    """Return `text` without its BinHex files, and the files."""
    left: list[bytes] = []
    files: list[TextFile] = []
    at = seek = 0
    while b"BinHex" in text and len(files) < reading.limits.files and (begin := _BEGIN.search(text, seek)):
        stop = text.find(b":", begin.end())
        file = _decode(text[begin.end() : stop if stop >= 0 else len(text)], reading=reading)
        seek = stop + 1 if stop >= 0 else len(text)
        if file is None:
            continue
        if stop < 0:
            reading.note(Defect.BINHEX_DAMAGED)
        left.append(text[at : begin.start()])
        files.append(file)
        at = seek
    return b"".join([*left, text[at:]]), files


def _decode(data: bytes, *, reading: Reading) -> TextFile | None:
    """Return the file, or None if not even its header is complete."""
    letters = data.translate(None, _FOREIGN).translate(_TO_BASE64)
    letters = letters[: len(letters) - (len(letters) % 4 == 1)]
    packed = binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))
    plain = _unpack(packed, reading=reading)
    name = bytes(plain[1 : 1 + plain[0]]) if plain else b""
    if not name or len(plain) < 1 + len(name) + _HEAD.size:
        reading.note(Defect.BINHEX_DAMAGED)
        return None
    size = _HEAD.unpack_from(plain, 1 + len(name))[3]
    start = 1 + len(name) + _HEAD.size
    if len(plain) < start + size:
        reading.note(Defect.BINHEX_DAMAGED)
    return TextFile(name, bytes(plain[start : start + size]))


def _unpack(packed: bytes, *, reading: Reading) -> bytearray:
    """Undo the run lengths. A run is three bytes for up to 255: the output and the number of runs are bounded."""
    plain = bytearray()
    at, room = 0, reading.remaining.file_bytes.left
    while len(plain) <= room and reading.remaining.lines.take():
        mark = packed.find(_RUN, at)
        if mark < 0 or mark + 1 >= len(packed):
            plain += packed[at : mark if mark >= 0 else len(packed)]
            break
        plain += packed[at:mark]
        count = packed[mark + 1]
        if count == 0:
            plain.append(_RUN)
        elif plain:
            plain += plain[-1:] * (count - 1)
        at = mark + 2
    else:
        reading.note(Defect.BINHEX_DAMAGED)
    if len(plain) > room:
        reading.note(Defect.FILES_TOO_LARGE, count=1)
    del plain[reading.remaining.file_bytes.take(len(plain)) :]
    return plain
