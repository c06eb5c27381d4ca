"""The header block of a message or a part, as bytes: split into fields and unfolded, nothing decoded.

RFC 5322 section 2.2. Real mail also has mbox lines, lines that are no fields, blocks that end in a line of blanks, and
blocks that never end; an unreadable field is skipped, so that those after it are not lost.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from mailroom.domain.parsing.limits import Defect, Reading

_FIELD = re.compile(rb"[ \t]*([^\x00-\x20:\x7f]{1,200})[ \t]*:")
_UNFOLDED = re.compile(rb"[\w*-]{1,40}=")
_MBOX = re.compile(rb">?From ")
_LISTS = frozenset({b"to", b"cc"})


@dataclass(frozen=True, slots=True)
class Headers:
    """The fields of one block: values in order by lower-case name."""

    fields: dict[bytes, list[bytes]] = field(default_factory=dict)

    def first(self, name: bytes) -> bytes | None:
        """Return the first value of `name` that is not blank, or None."""
        return next((value for value in self.fields.get(name, ()) if value.strip()), None)

    def all(self, name: bytes) -> list[bytes]:
        """Return every value of `name`."""
        return self.fields.get(name, [])


def read_headers(raw: bytes, start: int, end: int, *, reading: Reading) -> tuple[Headers, int]:
    """Return the header block of `raw[start:end]` and the index where the body begins."""
    limit = min(end, start + reading.limits.header_block_bytes)
    collected: list[tuple[bytes, list[bytes]]] = []
    body = end
    for at, after, line in _lines(raw, start, limit):
        if len(collected) > reading.limits.headers or not reading.remaining.header_lines.take():
            body = _find_end(raw, max(start, at - 1), end)
            break
        if not line.strip():
            body = after
            break
        if not _take(line, collected) and not _may_skip(raw, after, end, line=line, collected=collected):
            reading.note(Defect.HEADERS_NOT_ENDED)
            body = at
            break
    else:
        body = limit if limit == end else _find_end(raw, limit, end)
    if body > limit or not reading.remaining.header_lines.left:
        reading.note(Defect.HEADER_BLOCK_TOO_LONG)
    return _gather(collected, reading=reading), body


def _lines(raw: bytes, start: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    while start < end:
        stop = raw.find(b"\n", start, end)
        after = end if stop < 0 else stop + 1
        yield start, after, raw[start:after].rstrip(b"\r\n")
        start = after


def _take(line: bytes, collected: list[tuple[bytes, list[bytes]]]) -> bool:
    """Add `line` to the fields; False if it is neither a field nor the continuation of one."""
    if collected and (line[:1] in (b" ", b"\t") or (collected[-1][1][-1].endswith(b";") and _UNFOLDED.match(line))):
        collected[-1][1].append(line)
        return True
    match = _FIELD.match(line)
    if match is None:
        return False
    collected.append((match[1].lower(), [line[match.end() :]]))
    return True


def _may_skip(raw: bytes, after: int, end: int, *, line: bytes, collected: list[tuple[bytes, list[bytes]]]) -> bool:
    """Whether a line that is no field is among fields: an mbox line before them, or rubbish between two."""
    if not collected:
        return _MBOX.match(line) is not None
    if b":" not in line and line[:2] == b"--":
        return False
    return _FIELD.match(raw, after, min(end, after + 300)) is not None


def _find_end(raw: bytes, at: int, end: int) -> int:
    """Return where the body begins after `at`; the text before it is not read."""
    ends = [position + len(blank) for blank in (b"\n\n", b"\n\r\n") if (position := raw.find(blank, at, end)) >= 0]
    return min(ends, default=end)


def _gather(collected: list[tuple[bytes, list[bytes]]], *, reading: Reading) -> Headers:
    limits = reading.limits
    if len(collected) > limits.headers:
        reading.note(Defect.TOO_MANY_HEADERS)
    headers = Headers()
    for name, lines in collected[: limits.headers]:
        value = b"".join(lines).strip()
        most = limits.address_header_bytes if name in _LISTS else limits.header_bytes
        if len(value) > most:
            reading.note(Defect.HEADER_TOO_LONG)
            value = value[:most]
        headers.fields.setdefault(name, []).append(value)
    return headers
