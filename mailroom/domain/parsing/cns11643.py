"""EUC-TW and ISO-2022-CN, which Python has no codecs for: decoders of both, registered under `euc_tw` and `iso2022_cn`.

EUC-TW has the planes of CNS 11643; ISO-2022-CN (RFC 1922) has GB 2312 and the first two planes, by escape sequences. Planes 1
and 2 have the characters of Big5 in nearly Big5's order, so they are decoded through it: the tables below are the runs in
which both go on together, found by comparing the two character sets. The rarer planes and signs become U+FFFD.
"""

import codecs
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

_CELLS, _BIG5_CELLS = 94, 157

#: Runs as (index in the plane, index in Big5, length); an index counts the cells of all rows before.
# fmt: off
_PLANE_1 = (
    (0, 0, 5), (6, 6, 15), (21, 23, 2), (24, 22, 1), (29, 29, 44), (73, 74, 1), (74, 73, 1), (75, 75, 22), (98, 98,
    1), (100, 100, 27), (127, 128, 1), (128, 127, 1), (129, 129, 19), (148, 149, 1), (149, 148, 1), (150, 150, 4),
    (155, 21, 1), (156, 156, 78), (282, 234, 29), (312, 264, 1), (314, 266, 142), (470, 6101, 20), (3290, 471,
    1412), (4702, 1884, 424), (5126, 1883, 1), (5127, 2308, 1876), (7003, 4571, 1), (7004, 4184, 387), (7391, 4572,
    525), (7916, 5286, 1), (7917, 5097, 105), (8023, 5203, 83), (8106, 5287, 84), (8190, 5517, 1), (8191, 5371, 54),
    (8245, 5426, 1), (8246, 5425, 1), (8247, 5427, 90), (8337, 5518, 354),
)
_PLANE_2 = (
    (0, 6280, 10), (10, 6291, 33), (43, 6372, 1), (44, 6324, 48), (92, 6373, 46), (138, 6586, 1), (139, 6419, 167),
    (306, 6587, 1840), (2146, 9074, 1), (2147, 8428, 108), (2255, 8537, 537), (2792, 8427, 1), (2793, 9075, 100),
    (2893, 8536, 1), (2894, 9175, 399), (3293, 9575, 1637), (4930, 11761, 1), (4931, 11212, 146), (5077, 11899, 1),
    (5078, 11358, 287), (5365, 12508, 1), (5366, 11645, 116), (5482, 11762, 137), (5619, 11900, 104), (5723, 12425,
    1), (5724, 12004, 222), (5946, 12227, 198), (6144, 12426, 82), (6226, 12509, 86), (6312, 12226, 1), (6313,
    12595, 8), (6321, 12604, 153), (6474, 12758, 56), (6530, 13114, 1), (6531, 12814, 113), (6644, 12603, 1), (6645,
    12927, 142), (6787, 12757, 1), (6788, 13069, 45), (6833, 13115, 71), (6904, 13380, 1), (6905, 13186, 194),
    (7099, 13381, 490), (7589, 13914, 1), (7590, 13871, 43), (7633, 13915, 1), (7634, 13917, 11), (7645, 13916, 1),
    (7646, 13928, 4),
)
# fmt: on

_LOST = "\ufffd"
_EUC = re.compile(rb"[\x00-\x7f]+|\x8e[\xa1-\xb0][\xa1-\xfe]{2}|[\xa1-\xfe]{2}|[\x80-\xff]", re.DOTALL)
_ISO = re.compile(rb"\x1b\$([)*])([A-Z])|\x1bN(..)|([\x0e\x0f])|([^\x1b\x0e\x0f]+|\x1b)", re.DOTALL)
_PAIRS = re.compile(rb"[\x21-\x7e]{2}|[\r\n]|.", re.DOTALL)
_ESCAPES = re.compile(rb"\x1b\$(?:\)[AG]|\*H)")


def is_iso2022_cn(data: bytes) -> bool:
    """Whether `data` has an escape sequence of ISO-2022-CN."""
    return _ESCAPES.search(data) is not None


@cache
def _plane(number: int) -> dict[bytes, str]:
    """Return the characters of a plane by their two bytes with the high bits set."""
    letters = {}
    for first, big5, length in {1: _PLANE_1, 2: _PLANE_2}.get(number, ()):
        for step in range(length):
            row, cell = divmod(first + step, _CELLS)
            high, low = divmod(big5 + step, _BIG5_CELLS)
            code = bytes([high + 0xA1, low + (0x40 if low < 63 else 0x62)])
            letters[bytes([row + 0xA1, cell + 0xA1])] = code.decode("cp950")
    return letters


def _euc_tw(data: bytes) -> Iterator[str]:
    first = _plane(1)
    for piece in _EUC.findall(data):
        if piece[0] < 0x80:
            yield piece.decode("ascii")
        elif len(piece) == 4:
            yield _plane(piece[1] - 0xA0).get(piece[2:], _LOST)
        else:
            yield first.get(piece, _LOST)


def _iso2022_cn(data: bytes) -> Iterator[str]:
    shifted, out, single = b"", False, _plane(2)
    for match in _ISO.finditer(data):
        if match[1]:
            shifted = match[2] if match[1] == b")" else shifted
        elif match[3]:
            yield single.get(_high(match[3]), _LOST)
        elif match[4]:
            out = match[4] == b"\x0e"
        elif not out:
            yield match[5].decode("ascii", "replace")
        else:
            for pair in _PAIRS.findall(match[5]):
                # A line begins in ASCII (RFC 1922 section 7.1).
                out = out and pair not in (b"\r", b"\n")
                yield _two_bytes(pair, shifted) if out and len(pair) == 2 else _ascii(pair)


def _two_bytes(pair: bytes, shifted: bytes) -> str:
    if shifted == b"A":
        return _high(pair).decode("gb2312", "replace")
    return _plane(1).get(_high(pair), _LOST) if shifted == b"G" else _LOST


def _ascii(piece: bytes) -> str:
    return piece.decode("ascii", "replace")


def _high(pair: bytes) -> bytes:
    return bytes(byte | 0x80 for byte in pair)


def _decoder(name: str, pieces: Callable[[bytes], Iterator[str]]) -> codecs.CodecInfo:
    def decode(written: "Buffer", errors: str = "strict", /) -> tuple[str, int]:
        data = bytes(written)
        text = "".join(pieces(data))
        if errors == "strict" and _LOST in text:
            raise UnicodeDecodeError(name, data, 0, len(data), "a character that is not in Big5, or an invalid byte")
        return text, len(data)

    def encode(text: str, _errors: str = "strict", /) -> tuple[bytes, int]:
        raise UnicodeEncodeError(name, text, 0, len(text), "mail is only read in this charset")

    return codecs.CodecInfo(encode, decode, name=name)


_CODECS = {name: _decoder(name, pieces) for name, pieces in (("euc_tw", _euc_tw), ("iso2022_cn", _iso2022_cn))}
codecs.register(_CODECS.get)
