"""Files in yEnc in the text of a mail: they are extracted, and removed from the text.

The format is yEnc 1.3 (yenc.org, 2002): `=ybegin` with line, size and name, for one part of several `=ypart`, the data
with 42 added to each byte, `=yend`. A truncated file gives the part before the break.
"""

import re

from mailroom.domain.parsing.limits import Allowance, Defect, Reading
from mailroom.domain.parsing.uuencode import TextFile

_BEGIN = re.compile(rb"(?m)^=ybegin [^\r\n]{0,200}?\bsize=(\d{1,12})[^\r\n]{0,100}? name=([^\r\n]{1,1000})\r?\n")
_PART = re.compile(rb"=ypart begin=(\d{1,12}) end=(\d{1,12})[^\r\n]{0,100}\r?\n")
_END = re.compile(rb"(?m)^=yend\b[^\r\n]{0,200}\r?\n?")
_ESCAPE = re.compile(rb"=(.)", re.S)
_SHIFTED = bytes((byte - 42) & 255 for byte in range(256))
_ESCAPED = {bytes([byte]): bytes([(byte - 64) & 255]) for byte in range(256)}
#: Escapes are resolved piece by piece, so that their list stays small.
_PIECE = 1 << 18


def take_yenc(text: bytes, *, reading: Reading) -> tuple[bytes, list[TextFile]]:
    """Return `text` without its files in yEnc, and the files."""
    if b"=ybegin " not in text:
        return text, []
    left: list[bytes] = []
    files: list[TextFile] = []
    at = 0
    while len(files) < reading.limits.files and (begin := _BEGIN.search(text, at)):
        part = _PART.match(text, begin.end())
        start = part.end() if part else begin.end()
        end = _END.search(text, start)
        content = _decode(text[start : end.start() if end else len(text)], escapes=reading.remaining.escapes)
        announced = int(part[2]) - int(part[1]) + 1 if part else int(begin[1])
        if end is None or len(content) != announced:
            reading.note(Defect.YENC_DAMAGED)
        left.append(text[at : begin.start()])
        files.append(TextFile(begin[2].strip(), content))
        at = end.end() if end else len(text)
    return b"".join([*left, text[at:]]), files


def _decode(data: bytes, *, escapes: Allowance) -> bytes:
    """Undo the shift, and as many `escapes` as are left: one byte in fifty is escaped, or this is no file."""
    data = data.translate(None, b"\r\n")
    decoded: list[bytes] = []
    at = 0
    while at < len(data):
        stop = at + _PIECE
        # An escape is not cut in two.
        stop += data[stop - 1 : stop] == b"="
        piece, count = data[at:stop], 0
        if escapes.left:
            piece, count = _ESCAPE.subn(lambda match: _ESCAPED[match[1]], piece, count=escapes.left)
        decoded.append(piece.translate(_SHIFTED))
        escapes.take(count)
        at = stop
    return b"".join(decoded)
