"""Delimiters of a multipart that are damaged: found where none is as RFC 2046 section 5.1.1 has it.

A delimiter is a line of its own that has the boundary after two dashes. Gateways and hand-made mails change the dashes, the
case or the quotes, or lose the line: then the text of the parts would be hidden as a preamble.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mailroom.domain.parsing.limits import Defect, Reading

#: Hyphens and dashes, alone or two, in ASCII, UTF-8 and Windows-1252.
_DASH = rb"(?:[-_=\x96\x97]|\xe2\x80[\x90-\x95])"
_QUOTE = rb"(?:[\"'`]|\xe2\x80[\x98-\x9f])?"
_PART_FIELD = re.compile(rb"(?im)^content-(?:type|transfer-encoding|disposition|id|description)[ \t]*:")
_SHORTEST_PART = len(b"content-id:")
_PREAMBLE_BYTES = 64 * 1024
#: A boundary of so few letters may be a word of the text.
_SHORT = 6
_PREFIX = rb"[ \t>|*]{0,8}(?:" + _DASH + rb"{1,4}[ \t]{0,3}"
_SUFFIX = _QUOTE + rb"([ \t]{0,3}" + _DASH + rb"{1,4})?"


@dataclass(frozen=True, slots=True)
class _Form:
    """What a damaged delimiter has on its line before and after the boundary."""

    before: re.Pattern[bytes]
    after: re.Pattern[bytes]


#: A boundary that may be a word of the text needs a dash, and nothing else; another may stand alone, or have signs after it.
_WORD = _Form(re.compile(_PREFIX + rb")" + _QUOTE), re.compile(_SUFFIX + rb"[ \t]{0,200}\r?(?:\n|\Z)"))
_LONG = _Form(
    re.compile(_PREFIX + rb"|)" + _QUOTE), re.compile(_SUFFIX + rb"(?:[^\w\r\n-][^\r\n]{0,200})?\r?(?:\n|\Z)")
)
#: What may stand before it on its line: blanks, marks of a quotation, dashes of three bytes.
_MOST_BEFORE = 40


def is_damaged_end(rest: bytes) -> bool | None:
    """Return whether what follows the boundary on its line makes it a damaged delimiter, and then whether it closes.

    `rest` is the rest of the line, and more than blanks or two dashes: None is another line, as of a longer boundary.
    """
    if rest.startswith((b"-- ", b"--\t")):
        return True
    return False if rest[:1] in (b" ", b"\t") else None


def damaged_delimiters(
    raw: bytes, start: int, end: int, *, boundary: bytes, reading: Reading
) -> Iterator[tuple[int, int, bool]]:
    """Yield (start of the line, start of the next, whether it closes) for lines that have the boundary, changed a little."""
    form = _LONG if len(boundary) >= _SHORT else _WORD
    letters, wanted = raw[start:end].lower(), boundary.lower()
    at = letters.find(wanted)
    while at >= 0:
        if not reading.remaining.delimiters.take():
            reading.note(Defect.TOO_MANY_DELIMITERS)
            return
        begin = letters.rfind(b"\n", max(0, at - _MOST_BEFORE), at) + 1
        match = None
        if (begin or at < _MOST_BEFORE) and form.before.fullmatch(letters, begin, at):
            match = form.after.match(letters, at + len(wanted))
        if match:
            yield start + begin, start + match.end(), match[1] is not None
        at = letters.find(wanted, match.end() if match else at + 1)


def lost_parts(raw: bytes, start: int, end: int, *, room: int, reading: Reading) -> list[tuple[int, int]]:
    """Return the parts whose delimiters were lost in `raw[start:end]`, where none should be: before, after or without any.

    A part begins with its fields, after an empty line; words before them are no part, as in a preamble.
    """
    if end - start < _SHORTEST_PART:
        return []
    first = _PART_FIELD.search(raw, start, min(end, start + _PREAMBLE_BYTES))
    if first is None or room < 1:
        return []
    reading.note(Defect.BOUNDARY_DAMAGED)
    letters, starts = raw[first.start() : end].lower(), [first.start()]
    at = letters.find(b"\ncontent-")
    while at >= 0 and len(starts) < room and reading.remaining.delimiters.take():
        if letters[max(0, at - 2) : at].endswith((b"\n", b"\n\r")):
            starts.append(first.start() + at + 1)
        at = letters.find(b"\ncontent-", at + 1)
    return list(zip(starts, [*starts[1:], end], strict=True))
