"""The RTF body of an Outlook message: decompressed, and the HTML or the text in it extracted.

Sources: Microsoft, [MS-OXRTFCP] section 2.2 (compression) and [MS-OXRTFEX] (HTML and text inside RTF). RTF that was never
HTML gives its words and line ends only.
"""

import re
import struct
from dataclasses import dataclass, field, replace

from mailroom.domain.parsing.charsets import codec, storable
from mailroom.domain.parsing.limits import Defect, Reading

_DICTIONARY = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans SerifSymbol"
    rb"ArialTimes New RomanCourier{\colortbl\red0\green0\blue0" + b"\r\n" + rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
_WINDOW = 4096
#: Two compressed bytes give up to seventeen.
_MOST_GROWTH = 9
_COMPRESSED, _PLAIN = b"LZFu", b"MELA"
_HEADER = struct.Struct("<II4sI")
_TOKEN = re.compile(
    rb"\\([A-Za-z]{1,32})(-?\d{1,10})? ?|\\'([0-9A-Fa-f]{2})|\\(.)|([{}])|[\r\n]+|([^\\{}\r\n]+)|\\", re.S
)
_WORDS = {
    b"par": "\r\n", b"line": "\r\n", b"row": "\r\n", b"tab": "\t", b"cell": "\t", b"lquote": "‘", b"rquote": "’", b"ldblquote": "“",
    b"rdblquote": "”", b"bullet": "•", b"endash": "–", b"emdash": "—", b"emspace": " ", b"enspace": " ",
}  # fmt: skip
_SYMBOLS = {b"~": "\u00a0", b"_": "\u2011", b"\\": "\\", b"{": "{", b"}": "}", b"\r": "\r\n", b"\n": "\r\n"}
_HIDDEN = frozenset(
    {b"colortbl", b"stylesheet", b"info", b"pict", b"object", b"pntext", b"header", b"footer", b"themedata"}
)
#: Windows' character sets of fonts by number.
_FONTS = {
    0: "cp1252", 128: "cp932", 129: "cp949", 134: "gb18030", 136: "big5hkscs", 161: "cp1253", 162: "cp1254", 163: "cp1258",
    177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250",
}  # fmt: skip
_DEEPEST = 200


@dataclass(frozen=True, slots=True)
class RtfBody:
    """The content of an RTF body: HTML, or else text."""

    text: str | None = None
    html: str | None = None


@dataclass(frozen=True, slots=True)
class _Group:
    """The state that a closing brace restores."""

    hidden: bool = False
    starred: bool = False
    tag: bool = False
    fonts: bool = False
    as_rtf: bool = False
    """Between `htmlrtf` and `htmlrtf0`: for RTF readers, and no part of the HTML."""
    skip: int = 1
    charset: str | None = None


@dataclass(slots=True)
class _Reader:
    charset: str = "cp1252"
    html: bool = False
    font: int = 0
    fonts: dict[int, str] = field(default_factory=dict)
    out: list[str] = field(default_factory=list)
    raw: bytearray = field(default_factory=bytearray)
    raw_charset: str = "cp1252"
    to_skip: int = 0

    def letters(self, data: bytes, charset: str | None) -> None:
        """Add bytes of text; bytes of one charset are decoded together, for a letter may have two."""
        if self.to_skip:
            skipped = min(self.to_skip, len(data))
            self.to_skip -= skipped
            data = data[skipped:]
        if not data:
            return
        charset = charset or self.charset
        if charset != self.raw_charset:
            self.flush()
            self.raw_charset = charset
        self.raw += data

    def write(self, text: str) -> None:
        """Add decoded text."""
        self.flush()
        self.out.append(text)

    def flush(self) -> None:
        """Decode the pending bytes."""
        if self.raw:
            self.out.append(self.raw.decode(self.raw_charset, "replace"))
            self.raw.clear()


def decompress(data: bytes, *, reading: Reading) -> bytes:
    """Return the RTF in a PR_RTF_COMPRESSED value, as far as it is intact; empty if it is none."""
    if len(data) < _HEADER.size:
        return b""
    _, size, kind, _ = _HEADER.unpack_from(data)
    body = data[_HEADER.size :]
    wanted = min(size, len(body) * _MOST_GROWTH)
    most = reading.remaining.rtf_bytes.take(wanted)
    if most < wanted:
        reading.note(Defect.TEXT_TOO_LONG, size=wanted - most)
    if kind == _PLAIN:
        return body[:most]
    if kind != _COMPRESSED:
        reading.note(Defect.RTF_DAMAGED)
        return b""
    out = _expand(body, most)
    if len(out) < min(size, most):
        reading.note(Defect.RTF_DAMAGED)
    return bytes(out[:most])


def _expand(body: bytes, most: int) -> bytearray:
    """Undo LZFu: a byte of flags, then eight literals or references into the 4 096 bytes before."""
    out = bytearray(_DICTIONARY)
    first = len(_DICTIONARY)
    at, end = 0, len(body)
    while at < end and len(out) - first < most:
        flags = body[at]
        at += 1
        for bit in range(8):
            if not flags >> bit & 1:
                if at >= end:
                    break
                out.append(body[at])
                at += 1
                continue
            if at + 1 >= end:
                return out[first:]
            offset, length = body[at] << 4 | body[at + 1] >> 4, (body[at + 1] & 15) + 2
            at += 2
            back = (len(out) - offset) % _WINDOW
            if back == 0 or back > len(out):
                return out[first:]
            for _ in range(length):
                out.append(out[-back])
    return out[first:]


def read_rtf(data: bytes, *, reading: Reading) -> RtfBody:
    """Return the HTML or the text in `data`."""
    reader, stack, group = _Reader(), [], _Group()
    for match in _TOKEN.finditer(data):
        word, number, code, symbol, brace, letters = match.groups()
        if brace == b"{":
            stack.append(group)
            if len(stack) > _DEEPEST:
                reading.note(Defect.TOO_DEEP)
                break
            group = replace(group, starred=False)
        elif brace == b"}":
            group = stack.pop() if stack else group
        elif word:
            group = _word(reader, group, word, int(number) if number else None)
        elif symbol == b"*":
            group = replace(group, starred=True)
        elif not _is_shown(reader, group):
            continue
        elif code:
            reader.letters(bytes([int(code, 16)]), group.charset)
        elif symbol:
            reader.write(_SYMBOLS.get(symbol, ""))
        elif letters:
            reader.letters(letters, group.charset)
    reader.flush()
    text = storable("".join(reader.out)).strip()
    return RtfBody(html=text or None) if reader.html else RtfBody(text=text or None)


def _is_shown(reader: _Reader, group: _Group) -> bool:
    return not (group.hidden or group.fonts or (reader.html and group.as_rtf))


def _word(reader: _Reader, group: _Group, word: bytes, number: int | None) -> _Group:
    """Apply one control word, and return the group's state after it."""
    if word == b"htmltag" and group.starred:
        return replace(group, tag=True, starred=False)
    if word == b"fonttbl":
        return replace(group, fonts=True)
    if group.starred or word in _HIDDEN:
        return replace(group, hidden=True, starred=False)
    if word == b"htmlrtf":
        return replace(group, as_rtf=number != 0)
    if word == b"uc":
        return replace(group, skip=max(0, min(number or 0, 8)))
    if word in (b"f", b"fcharset", b"ansicpg", b"fromhtml"):
        return _setting(reader, group, word, number or 0)
    if not _is_shown(reader, group):
        return group
    if word == b"u" and number is not None:
        _unicode(reader, number & 0xFFFF)
        reader.to_skip = group.skip
    elif word in _WORDS:
        reader.write(_WORDS[word])
    return group


def _setting(reader: _Reader, group: _Group, word: bytes, number: int) -> _Group:
    if word == b"fromhtml":
        reader.html = True
    elif word == b"ansicpg":
        reader.charset = codec(f"cp{number}") or reader.charset
    elif word == b"fcharset":
        reader.fonts[reader.font] = _FONTS.get(number, "")
    elif group.fonts:
        reader.font = number
    else:
        return replace(group, charset=reader.fonts.get(number) or None)
    return group


def _unicode(reader: _Reader, unit: int) -> None:
    """Add one UTF-16 unit; a surrogate pair comes as two control words."""
    if reader.raw_charset != "utf-16-le":
        reader.flush()
        reader.raw_charset = "utf-16-le"
    reader.raw += struct.pack("<H", unit)
