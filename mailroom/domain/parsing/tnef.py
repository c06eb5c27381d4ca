"""The members of a winmail.dat: Outlook's Transport Neutral Encapsulation Format.

Source: Microsoft, [MS-OXTNEF] sections 2.1.3 (attributes) and 2.1.3.4 (MAPI properties); [MS-OXPROPS] for the ids.
Every length is compared with the available bytes before it is used; a truncated stream gives its complete part.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from mailroom.domain.parsing.charsets import decode, storable
from mailroom.domain.parsing.limits import Defect, Reading
from mailroom.domain.parsing.rtf import decompress, read_rtf

SIGNATURE = b"\x78\x9f\x3e\x22"

_BODY, _ATTACH_DATA, _ATTACH_TITLE, _RENDERING = 0x800C, 0x800F, 0x8010, 0x9002
_MESSAGE_CLASS = 0x8008
_MESSAGE_PROPERTIES, _ATTACH_PROPERTIES, _CODE_PAGE, _SUBJECT = 0x9003, 0x9005, 0x9007, 0x8004

_PR_BODY, _PR_HTML, _PR_SUBJECT, _PR_DISPLAY_NAME = 0x1000, 0x1013, 0x0037, 0x3001
_PR_MESSAGE_CLASS, _PR_START, _PR_END, _PR_RTF = 0x001A, 0x0060, 0x0061, 0x1009
#: Named properties of appointments ([MS-OXOCAL] section 2.2.1): their set, and our name for each.
_APPOINTMENTS = bytes.fromhex("0220060000000000c000000000000046")
_NAMED = 0x10000
_MEETING = {
    _PR_START: "dtstart",
    _PR_END: "dtend",
    _NAMED + 0x820D: "dtstart",
    _NAMED + 0x820E: "dtend",
    _NAMED + 0x8208: "location",
}
_TIME = 0x40
_FIRST_MOMENT = datetime(1601, 1, 1, tzinfo=UTC)
_INVITATION = re.compile(r"(?i)schedule|appointment|\bmeeting")
_PR_DATA, _PR_FILE, _PR_LONG_FILE, _PR_MIME, _PR_CONTENT_ID = 0x3701, 0x3704, 0x3707, 0x370E, 0x3712

_UNSPECIFIED, _OBJECT, _STRING8, _UNICODE, _BINARY = 0x00, 0x0D, 0x1E, 0x1F, 0x102
_FIXED = {0x02: 2, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0A: 4, 0x0B: 2, 0x14: 8, 0x40: 8, 0x48: 16}
_VARIABLE = frozenset({_UNSPECIFIED, _OBJECT, _STRING8, _UNICODE, _BINARY})
_MULTIPLE = 0x1000
_INTERFACE_BYTES = 16
_MOST_VALUES = 1_000


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a winmail.dat. An embedded message has `message`, and no bytes."""

    name: str | None
    content: bytes
    content_type: str | None = None
    content_id: str | None = None
    message: "Tnef | None" = None


@dataclass(slots=True)
class Tnef:
    """The content of one TNEF stream."""

    members: list[Member] = field(default_factory=list)
    subject: str | None = None
    text: str | None = None
    html: str | None = None
    message_class: str | None = None
    meeting: dict[str, str] = field(default_factory=dict)
    """Of an invitation: when and where, named as in a calendar."""

    @property
    def has_text(self) -> bool:
        """Whether it has a text or HTML body."""
        return bool(self.text or self.html)


@dataclass(slots=True)
class _Attachment:
    title: bytes = b""
    data: bytes = b""
    properties: dict[int, tuple[int, bytes]] = field(default_factory=dict)


@dataclass(slots=True)
class _Stream:
    """One stream being read: the outer one, or that of an attached message."""

    data: bytes
    depth: int
    into: Tnef
    charset: str = "cp1252"
    attachments: list[_Attachment] = field(default_factory=list)
    properties: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    body: bytes = b""
    subject: bytes = b""
    message_class: bytes = b""


def read_tnef(data: bytes, *, reading: Reading) -> Tnef | None:
    """Return the content of a winmail.dat, or None if `data` is not one."""
    if not data.startswith(SIGNATURE):
        return None
    outer = Tnef()
    waiting = [_Stream(data, 0, outer)]
    while waiting:
        stream = waiting.pop()
        _read_attributes(stream, reading=reading)
        waiting.extend(_finish(stream, reading=reading))
    return outer


def _read_attributes(stream: _Stream, *, reading: Reading) -> None:
    data, at = stream.data, 6
    while at + 9 <= len(data):
        if not _spend(reading):
            reading.note(Defect.TOO_MANY_PROPERTIES, size=len(data) - at)
            return
        level, attribute, length = struct.unpack_from("<BII", data, at)
        if level not in (1, 2):
            break
        value = data[at + 9 : at + 9 + length]
        _take(stream, attribute & 0xFFFF, value, reading=reading)
        at += 9 + length + 2
    if at != len(data):
        reading.note(Defect.TNEF_DAMAGED)


def _take(stream: _Stream, attribute: int, value: bytes, *, reading: Reading) -> None:
    """Store one attribute; attributes of attachments belong to the last attachment that began."""
    if attribute == _RENDERING or (
        attribute in (_ATTACH_TITLE, _ATTACH_DATA, _ATTACH_PROPERTIES) and not stream.attachments
    ):
        stream.attachments.append(_Attachment())
    if attribute == _ATTACH_TITLE:
        stream.attachments[-1].title = value
    elif attribute == _ATTACH_DATA:
        stream.attachments[-1].data = value
    elif attribute == _ATTACH_PROPERTIES:
        stream.attachments[-1].properties.update(_properties(value, reading=reading))
    elif attribute == _MESSAGE_PROPERTIES:
        stream.properties.update(_properties(value, reading=reading))
    elif attribute == _BODY:
        stream.body = value
    elif attribute == _MESSAGE_CLASS:
        stream.message_class = value
    elif attribute == _SUBJECT:
        stream.subject = value
    elif attribute == _CODE_PAGE and len(value) >= 4:
        stream.charset = f"cp{int.from_bytes(value[:4], 'little')}"


def _properties(value: bytes, *, reading: Reading) -> Iterator[tuple[int, tuple[int, bytes]]]:
    """Yield (id, (type, first value)) for each complete MAPI property; of named ones, those of appointments only."""
    try:
        at = 4
        for _ in range(int.from_bytes(value[:4], "little")):
            if not _spend(reading):
                return
            kind, number = struct.unpack_from("<HH", value, at)
            at += 4
            if number >= 0x8000:
                number, at = _name(value, at)
            first, at = _first_value(value, at, kind)
            if number:
                yield number, (kind & ~_MULTIPLE, first)
    except (struct.error, ValueError):
        reading.note(Defect.TNEF_DAMAGED)


def _name(value: bytes, at: int) -> tuple[int, int]:
    """Return the number of a named property of appointments, or 0 for any other, and where its value begins."""
    kind, number = struct.unpack_from("<II", value, at + 16)
    if kind == 0:
        return _NAMED + number if value[at : at + 16] == _APPOINTMENTS else 0, at + 24
    return 0, at + 24 + _whole(number)


def _first_value(value: bytes, at: int, kind: int) -> tuple[bytes, int]:
    """Return the first value of a property and where the next property begins."""
    base, count = kind & ~_MULTIPLE, 1
    if base in _VARIABLE or kind & _MULTIPLE:
        (count,) = struct.unpack_from("<I", value, at)
        at += 4
    if base not in _VARIABLE:
        size = _FIXED[base] if base in _FIXED else _refuse()
        return value[at : at + size], at + _whole(size * count)
    if count > _MOST_VALUES:
        _refuse()
    first = b""
    for turn in range(count):
        (length,) = struct.unpack_from("<I", value, at)
        at += 4
        if at + length > len(value) + 3:
            _refuse()
        first = value[at : at + length] if turn == 0 else first
        at += _whole(length)
    return first, at


def _refuse() -> int:
    raise ValueError("not a MAPI property")


def _whole(length: int) -> int:
    return (length + 3) & ~3


def _spend(reading: Reading) -> bool:
    if reading.remaining.properties.take():
        return True
    reading.note(Defect.TOO_MANY_PROPERTIES)
    return False


def _finish(stream: _Stream, *, reading: Reading) -> list[_Stream]:
    """Turn the attachments into members, and return the streams of embedded messages, to be read next."""
    result, inner = stream.into, []
    result.subject = _string(stream, stream.properties.get(_PR_SUBJECT), stream.subject, reading=reading)
    result.text = _string(stream, stream.properties.get(_PR_BODY), stream.body, reading=reading)
    html = stream.properties.get(_PR_HTML)
    result.html = _html(stream, html, reading=reading) if html else None
    kind = _string(stream, stream.properties.get(_PR_MESSAGE_CLASS), stream.message_class, reading=reading)
    result.message_class = kind
    if kind and _INVITATION.search(kind):
        result.meeting = _meeting(stream, reading=reading)
    _read_rtf_body(stream, reading=reading)
    for attachment in stream.attachments:
        member = _member(stream, attachment, reading=reading)
        if member.message is not None:
            inner.append(
                _Stream(attachment.properties[_PR_DATA][1][_INTERFACE_BYTES:], stream.depth + 1, member.message)
            )
        result.members.append(member)
    return inner


def _read_rtf_body(stream: _Stream, *, reading: Reading) -> None:
    """Use the RTF body for the forms that the stream lacks, HTML or text: Outlook often writes RTF alone."""
    result, (_, packed) = stream.into, stream.properties.get(_PR_RTF, (_BINARY, b""))
    if packed and not result.html:
        body = read_rtf(decompress(packed, reading=reading), reading=reading)
        result.html = body.html
        result.text = result.text or body.text


def _meeting(stream: _Stream, *, reading: Reading) -> dict[str, str]:
    """Return the time and place of an invitation."""
    meeting = {"summary": stream.into.subject or ""}
    for number, name in _MEETING.items():
        kind, value = stream.properties.get(number, (_UNSPECIFIED, b""))
        if kind == _TIME and len(value) == 8:
            meeting[name] = _moment(int.from_bytes(value, "little"))
        elif kind in (_STRING8, _UNICODE):
            meeting[name] = _string(stream, (kind, value), b"", reading=reading) or ""
    return {name: value for name, value in meeting.items() if value}


def _moment(ticks: int) -> str:
    """Return a FILETIME, tenths of microseconds since 1601, as ISO 8601; empty if it is out of range."""
    try:
        return (_FIRST_MOMENT + timedelta(microseconds=ticks // 10)).isoformat(timespec="seconds")
    except OverflowError:
        return ""


def _member(stream: _Stream, attachment: _Attachment, *, reading: Reading) -> Member:
    properties = attachment.properties
    kind, data = properties.get(_PR_DATA, (_BINARY, b""))
    message = None
    if kind == _OBJECT:
        data = data[_INTERFACE_BYTES:]
        if data.startswith(SIGNATURE) and stream.depth < reading.limits.tnef_depth:
            message = Tnef()
        elif data.startswith(SIGNATURE):
            reading.note(Defect.TOO_DEEP, size=len(data))

    def text(number: int) -> str | None:
        return _string(stream, properties.get(number), b"", reading=reading)

    title = _string(stream, None, attachment.title, reading=reading)
    name = text(_PR_LONG_FILE) or title or text(_PR_FILE) or text(_PR_DISPLAY_NAME)
    return Member(name, b"" if message else data or attachment.data, text(_PR_MIME), text(_PR_CONTENT_ID), message)


def _string(stream: _Stream, value: tuple[int, bytes] | None, otherwise: bytes, *, reading: Reading) -> str | None:
    kind, data = value or (_STRING8, otherwise)
    if kind == _UNICODE:
        return storable(data.decode("utf-16-le", "replace").rstrip("\x00")) or None
    return decode(data.rstrip(b"\x00"), stream.charset, reading=reading) or None


def _html(stream: _Stream, value: tuple[int, bytes], *, reading: Reading) -> str | None:
    kind, data = value
    if kind == _BINARY:
        return decode(data.rstrip(b"\x00"), None, reading=reading, html=True) or None
    return _string(stream, value, b"", reading=reading)
