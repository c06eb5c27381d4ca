"""The header block of a message or a part, as bytes: split into fields and unfolded, nothing decoded.

RFC 5322 section 2.2. Real mail also has mbox lines, lines that are no fields, blocks that end in a line of blanks, and
blocks that never end; an unreadable field is skipped, so that those after it are not lost. `header_end` decides where a
damaged block ends.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from mailroom.domain.parsing.header_end import is_blank, is_delimiter, last_field
from mailroom.domain.parsing.limits import Defect, Reading

_FIELD = re.compile(rb"[ \t]*+([^\x00-\x20:\x7f]{1,998}+)[ \t]*+:")
_UNFOLDED = re.compile(rb"[\w*-]{1,40}=[^=\s]")
_MBOX = re.compile(rb">?From ")
_BLANKS = b" \t\x00\x0b\x0c\r"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
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


@dataclass(slots=True)
class _Block:
    """The lines of the fields read so far, and where the block's last field begins, once a line made that a question."""

    raw: bytes
    start: int
    end: int
    reading: Reading
    collected: list[tuple[bytes, list[bytes]]] = field(default_factory=list)
    skipping: bool = False
    """Whether lines that continue the one before are skipped: it was no field."""
    _last: int | None = None

    def goes_on(self, after: int) -> bool:
        """Whether a field of the block follows at `after` or later."""
        if self._last is None:
            self._last = last_field(
                self.raw, after, self.end, seen={name for name, _ in self.collected},
                content_type=self.content_type(), part=self.start > 0, reading=self.reading,
            )  # fmt: skip
        return self._last >= after

    @property
    def only_mbox(self) -> bool:
        """Whether there was only an mbox line yet, so that an empty line ends nothing."""
        return self.skipping and not self.collected

    def content_type(self) -> bytes:
        """Return the declared type as read so far."""
        return next((b"".join(lines) for name, lines in self.collected if name == b"content-type"), b"")

    def take(self, line: bytes) -> bool:
        """Add `line` to the fields; False if it is neither a field nor the continuation of one."""
        folded = line[0] in b" \t"
        collected = self.collected
        if folded and self.skipping:
            return True
        if collected and (folded or (collected[-1][1][-1][-1:] == b";" and _UNFOLDED.match(line))):
            collected[-1][1].append(line)
            return True
        match = _FIELD.match(line, 3 if line[0] == 0xEF and line.startswith(_BYTE_ORDER_MARK) else 0)
        if match is None:
            return False
        self.skipping = False
        collected.append((match[1].lower(), [line[match.end() :]]))
        return True

    def may_skip(self, line: bytes, after: int) -> bool:
        """Whether a line that is no field is among fields: an mbox line before them, or rubbish between two."""
        self.skipping = True
        if not self.collected and _MBOX.match(line):
            return True
        if is_delimiter(line, self.content_type()):
            return False
        # A mail may begin with its text; its first sentence is no damaged field.
        if not self.collected and self.start == 0 and b" " in line and b":" not in line:
            return False
        if not self.goes_on(after):
            return False
        self.reading.note(Defect.HEADER_MALFORMED)
        return True


def read_headers(raw: bytes, start: int, end: int, *, reading: Reading) -> tuple[Headers, int]:
    """Return the header block of `raw[start:end]` and the index where the body begins."""
    limit = min(end, start + reading.limits.header_block_bytes)
    block = _Block(raw, start, limit, reading)
    body = end
    for at, after, line in _lines(raw, start, limit):
        if len(block.collected) > reading.limits.headers or not reading.remaining.header_lines.take():
            body = _find_end(raw, max(start, at - 1), end)
            break
        if not line or (line[0] in _BLANKS and is_blank(line)):
            if (line or block.only_mbox) and block.goes_on(after):
                continue
            body = after
            break
        if not block.take(line) and not block.may_skip(line, after):
            reading.note(Defect.HEADERS_NOT_ENDED)
            body = at
            break
    else:
        body = limit if limit == end else _find_end(raw, limit, end)
    if body > limit or not reading.remaining.header_lines.left:
        reading.note(Defect.HEADER_BLOCK_TOO_LONG, size=max(0, body - limit))
    return _gather(block.collected, reading=reading), body


def _lines(raw: bytes, start: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    has_nul = raw.find(b"\x00", start, end) >= 0
    while start < end:
        stop = raw.find(b"\n", start, end)
        after = end if stop < 0 else stop + 1
        line = raw[start:after].rstrip(b"\r\n")
        # A NUL inside a name would hide the field; a line of them is left, for it is not empty.
        yield start, after, line.replace(b"\x00", b"") or line if has_nul else line
        start = after


def _find_end(raw: bytes, at: int, end: int) -> int:
    """Return where the body begins after `at`; the text before it is not read."""
    ends = [
        position + len(blank)
        for blank in (b"\n\n", b"\n\r\n", b"\n\r\r\n")
        if (position := raw.find(blank, at, end)) >= 0
    ]
    return min(ends, default=end)


def _gather(collected: list[tuple[bytes, list[bytes]]], *, reading: Reading) -> Headers:
    limits = reading.limits
    if len(collected) > limits.headers:
        reading.note(Defect.TOO_MANY_HEADERS, count=len(collected) - limits.headers)
    headers = Headers()
    for name, lines in collected[: limits.headers]:
        value = b"".join(lines).strip()
        most = limits.address_header_bytes if name in _LISTS else limits.header_bytes
        if len(value) > most:
            reading.note(Defect.HEADER_TOO_LONG, count=1, size=len(value) - most)
            value = value[:most]
        headers.fields.setdefault(name, []).append(value)
    return headers
