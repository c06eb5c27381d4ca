"""The MIME structure of a mail, cut at byte level into its leaves without recursion.

The standard library's parser recurses on nested multiparts and rewrites forwarded messages; a hostile mail then exhausts
the call stack, and an archived forward differs from what was sent. Here a list of byte ranges is processed, so depth costs
nothing, and every leaf is exactly the bytes between two delimiters (RFC 2046 section 5.1).

A forwarded message is a leaf: its inside is not read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from mailroom.domain.parsing.delimiters import damaged_delimiters, is_damaged_end, lost_parts
from mailroom.domain.parsing.headers import Headers, read_headers
from mailroom.domain.parsing.limits import Defect, Reading
from mailroom.domain.parsing.parameters import Parameters, read_parameters, without_comments_before

_GUESS = re.compile(rb"(?im)^--([^\r\n]{1,200}?)[ \t]*\r?\n(?:content-|mime-version:)")
_QUOTES = b"\"'` \t\r\n"
#: Typographic quotes in UTF-8.
_ROUND_QUOTES = tuple(bytes((0xE2, 0x80, last)) for last in range(0x98, 0xA0))
_GUESS_BYTES = 64 * 1024
_TYPE = re.compile(rb"[\s\"'<:;]*([\w.+-]+)\s*/\s*([\w.+-]+)")
_BOUNDARY = re.compile(rb"(?i)\bboundary\s*=")
_FIRST_PARAMETER = re.compile(rb"(?:;|\s|^)\s*[\w*-]+\s*=")
_MAIN_TYPES = frozenset(
    {"text", "image", "audio", "video", "application", "message", "multipart", "font", "model", "example", "haptics", "chemical"}
)  # fmt: skip
_BINARY = re.compile(rb"(?i)[\s\"]*(?:application|image|audio|video)\b")


@dataclass(frozen=True, slots=True)
class ContentType:
    """A declared type in lower case, with its parameters undecoded."""

    name: str
    parameters: Parameters
    readable: bool = True
    """Whether the mail declares a type that exists, or none."""

    @property
    def main(self) -> str:
        """The part before the slash."""
        return self.name.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A part without parts: the range of its body in the mail, and the type of the multipart around it ("" at the top)."""

    headers: Headers
    type: ContentType
    start: int
    end: int
    around: str
    first: bool = False
    """Whether it is the first part of the multipart around it."""


@dataclass(frozen=True, slots=True)
class _Range:
    start: int
    end: int
    default: str
    around: str
    depth: int
    first: bool = False


def split(raw: bytes, *, reading: Reading) -> tuple[Headers, list[Leaf]]:
    """Return the mail's own header block and its leaves in order."""
    top: Headers | None = None
    leaves: list[Leaf] = []
    waiting = [_Range(0, len(raw), "text/plain", "", 0, first=True)]
    while waiting:
        place = waiting.pop()
        headers, body = read_headers(raw, place.start, place.end, reading=reading)
        top = headers if top is None else top
        kind = content_type(headers, place.default, reading=reading)
        if not kind.readable and _has_boundary(raw, body, place.end, kind):
            reading.note(Defect.MULTIPART_MISTYPED)
            kind = ContentType("multipart/mixed", kind.parameters)
        room = reading.limits.parts - len(leaves) - len(waiting)
        inside = _open(raw, body, place, kind=kind, room=room, reading=reading)
        if inside is not None:
            waiting.extend(reversed(inside))
        else:
            leaves.append(_leaf(headers, kind, body, place, reading=reading))
    return top or Headers(), leaves


def content_type(headers: Headers, default: str, *, reading: Reading) -> ContentType:
    """Return the type that `headers` declare, or `default` if they declare no readable one."""
    for value in map(without_comments_before, headers.all(b"content-type")):
        match = _TYPE.match(value)
        if match:
            name = f"{match[1].decode('ascii', 'ignore')}/{match[2].decode('ascii', 'ignore')}".lower()
            main = name.partition("/")[0]
            known = main in _MAIN_TYPES or main.startswith("x-")
            return ContentType(name, read_parameters(value[match.end() :], reading=reading), readable=known)
    value = headers.first(b"content-type") or b""
    if _BOUNDARY.search(value):
        rest = value[gap.start() :] if (gap := _FIRST_PARAMETER.search(value)) else value
        return ContentType(default, read_parameters(rest, reading=reading), readable=False)
    if _BINARY.match(value):
        default = "application/octet-stream"
    return ContentType(default, read_parameters(value.partition(b";")[2], reading=reading))


def _leaf(headers: Headers, kind: ContentType, body: int, place: _Range, *, reading: Reading) -> Leaf:
    if kind.main != "multipart":
        return Leaf(headers, kind, body, place.end, place.around, place.first)
    if place.depth >= reading.limits.depth:
        return Leaf(headers, kind, place.start, place.end, place.around)
    return Leaf(headers, ContentType("text/plain", kind.parameters), body, place.end, place.around)


def _has_boundary(raw: bytes, body: int, end: int, kind: ContentType) -> bool:
    """Whether a part of a type that cannot be read is a multipart: its boundary begins a line of its body."""
    line = b"--" + (kind.parameters.raw(b"boundary") or b"").strip()
    return len(line) > 2 and (raw.startswith(line, body, end) or _next_line(raw, line, body, end) >= 0)


def _open(
    raw: bytes, body: int, place: _Range, *, kind: ContentType, room: int, reading: Reading
) -> list[_Range] | None:
    """Return the ranges of the parts in a multipart; None if it is no multipart or cannot be split."""
    if kind.main != "multipart":
        return None
    if place.depth >= reading.limits.depth:
        reading.note(Defect.TOO_DEEP, size=place.end - body)
        return None
    default = "message/rfc822" if kind.name == "multipart/digest" else "text/plain"
    for boundary in _boundaries(raw, body, place.end, declared=kind.parameters.raw(b"boundary"), reading=reading):
        cuts = _cuts(raw, body, place.end, boundary=boundary, room=room, reading=reading)
        if cuts is not None:
            return _ranges(cuts, place, default=default, around=kind.name)
    if body < place.end:
        reading.note(Defect.BOUNDARY_NOT_FOUND)
    if (parts := lost_parts(raw, body, place.end, room=room, reading=reading)) and not raw[body : parts[0][0]].strip():
        return _ranges(parts, place, default=default, around=kind.name)
    return None


def _ranges(cuts: list[tuple[int, int]], place: _Range, *, default: str, around: str) -> list[_Range]:
    return [
        _Range(start, end, default, around, place.depth + 1, first=number == 0)
        for number, (start, end) in enumerate(cuts)
    ]


def _boundaries(raw: bytes, start: int, end: int, *, declared: bytes | None, reading: Reading) -> Iterator[bytes]:
    """Yield the declared boundary, then the same without folding's blanks, a comment or quotes, then a guess."""
    if declared and declared.strip():
        yield declared.rstrip()
        bare = re.sub(rb"\s+", b"", declared)
        unquoted = _unquoted(declared.partition(b" (")[0])
        for other in (bare, unquoted):
            if other and other != declared:
                yield other
    else:
        reading.note(Defect.BOUNDARY_MISSING)
    match = _GUESS.search(raw, start, min(end, start + _GUESS_BYTES))
    if match:
        if declared and declared.strip():
            reading.note(Defect.BOUNDARY_DAMAGED)
        yield match[1]


def _unquoted(value: bytes) -> bytes:
    """Return a boundary without quotes of any kind around it."""
    value = value.strip(_QUOTES)
    value = value[3:] if value.startswith(_ROUND_QUOTES) else value
    return value[:-3] if value.endswith(_ROUND_QUOTES) else value


def _cuts(
    raw: bytes, start: int, end: int, *, boundary: bytes, room: int, reading: Reading
) -> list[tuple[int, int]] | None:
    """Return the start and end of the parts between delimiter lines, or None if there is no such line.

    Text after a closing delimiter is dropped only up to the next opening one: some mailers nest two multiparts with the
    same boundary, and the inner one's end must not hide the rest of the outer.
    """
    cuts = _Cuts(room)
    opened: int | None = None
    seen, free = False, start
    lines = _delimiters(raw, start, end, boundary=boundary, reading=reading)
    for before, after, closes in _with_damaged(lines, raw, start, end, boundary=boundary, reading=reading):
        if opened is not None:
            cuts.add((opened, max(opened, before)))
        elif not seen:
            cuts.add(*lost_parts(raw, free, before, room=room, reading=reading))
        opened, free = (None, after) if closes else (after, end)
        seen = True
    if seen and free < end:
        cuts.add(*lost_parts(raw, free, end, room=room - len(cuts.parts), reading=reading))
    if opened is not None:
        reading.note(Defect.BOUNDARY_NOT_CLOSED)
        if opened < end:
            cuts.add((opened, end))
    if cuts.beyond:
        # Without room for any, the multipart is kept whole, as text: nothing of it is left out.
        known = {"count": cuts.beyond, "size": cuts.beyond_bytes} if cuts.parts else {}
        reading.note(Defect.TOO_MANY_PARTS, **known)
        return cuts.parts or None
    # Only a closing delimiter after words: they are the text.
    hides = not cuts.parts and raw[start:end].partition(b"--" + boundary)[0].strip()
    return cuts.parts if seen and not hides else None


@dataclass(slots=True)
class _Cuts:
    """The start and end of at most `room` parts; those beyond are counted."""

    room: int
    parts: list[tuple[int, int]] = field(default_factory=list)
    beyond: int = 0
    beyond_bytes: int = 0

    def add(self, *parts: tuple[int, int]) -> None:
        for first, last in parts:
            if len(self.parts) < self.room:
                self.parts.append((first, last))
            else:
                self.beyond, self.beyond_bytes = self.beyond + 1, self.beyond_bytes + max(0, last - first)


def _with_damaged(
    lines: Iterator[tuple[int, int, bool]], raw: bytes, start: int, end: int, *, boundary: bytes, reading: Reading
) -> Iterator[tuple[int, int, bool]]:
    """Yield the delimiters, or where there is none of them, or only a closing one, those that are damaged."""
    first = next(lines, None)
    if first is not None and not (first[2] and raw[start : first[0]].strip()):
        yield first
        yield from lines
        return
    damaged = list(damaged_delimiters(raw, start, end, boundary=boundary, reading=reading))
    if any(not closes for _, _, closes in damaged):
        reading.note(Defect.BOUNDARY_DAMAGED)
        yield from ((_before(raw, start, at), after, closes) for at, after, closes in damaged)
    elif first is not None:
        yield first
        yield from lines


def _delimiters(
    raw: bytes, start: int, end: int, *, boundary: bytes, reading: Reading
) -> Iterator[tuple[int, int, bool]]:
    """Yield (end of the content before, start of the content after, whether it closes) for each delimiter line."""
    line = b"--" + boundary
    at = start if raw.startswith(line, start, end) else _next_line(raw, line, start, end)
    while at >= 0:
        if not reading.remaining.delimiters.take():
            reading.note(Defect.TOO_MANY_DELIMITERS, size=end - at)
            return
        tail = at + len(line)
        stop = raw.find(b"\n", tail, end)
        after = end if stop < 0 else stop + 1
        rest = raw[tail:after].strip()
        if rest in (b"", b"--"):
            yield _before(raw, start, at), after, rest == b"--"
        elif (closes := is_damaged_end(raw[tail:after])) is not None:
            reading.note(Defect.BOUNDARY_DAMAGED)
            yield _before(raw, start, at), after, closes
        at = _next_line(raw, line, max(start, after - 1), end)


def _next_line(raw: bytes, line: bytes, start: int, end: int) -> int:
    position = raw.find(b"\n" + line, start, end)
    return position if position < 0 else position + 1


def _before(raw: bytes, start: int, at: int) -> int:
    """Return where the content before a delimiter ends: the line break belongs to the delimiter."""
    if at > start and raw[at - 1 : at] == b"\n":
        at -= 1
        if at > start and raw[at - 1 : at] == b"\r":
            at -= 1
    return at
