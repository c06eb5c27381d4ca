"""Machine-readable parts: delivery reports, receipts, complaints, calendars, and their fields.

Delivery reports: RFC 3464 (and 6533). Receipts (MDN): RFC 8098. Complaints (ARF): RFC 5965. Calendars: RFC 5545.
All fields are the sender's claims: they are returned, and nothing is concluded from them.
"""

import re

from mailroom.domain.parsing.charsets import decode, storable
from mailroom.domain.parsing.headers import Headers, read_headers
from mailroom.domain.parsing.limits import Defect, Limits, Reading
from mailroom.domain.parsing.model import Report
from mailroom.domain.parsing.words import header_text

_KINDS = {
    "message/delivery-status": "delivery",
    "message/global-delivery-status": "delivery",
    "message/disposition-notification": "disposition",
    "message/global-disposition-notification": "disposition",
    "message/feedback-report": "abuse",
    "text/calendar": "calendar",
    "application/ics": "calendar",
}
_ENTRIES = frozenset({"VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY"})
_FOLD = re.compile(r"\r?\n[ \t]")
_LINE_END = re.compile(r"\r?\n|\r")
_PROPERTY = re.compile(r"([A-Za-z0-9-]{1,60})((?:;[^:\"]{0,500}(?:\"[^\"]{0,500}\"[^:\"]{0,500}){0,20})?):(.*)")
_ESCAPED = re.compile(r"\\(.)")
_ZONE = re.compile(r"(?i);TZID=\"?([^;:\"]{1,100})")
_LONGEST_VALUE = 4_000


def is_report(content_type: str) -> bool:
    """Whether a part of this type is machine-readable."""
    return content_type in _KINDS


def read_report(content_type: str, data: bytes, *, charset: str | None, reading: Reading) -> Report | None:
    """Return the report in a part of this type, or None if it has no field."""
    kind = _KINDS[content_type]
    granted = reading.remaining.report_bytes.take(len(data))
    if granted < len(data):
        reading.note(Defect.TEXT_TOO_LONG, size=len(data) - granted)
        data = data[:granted]
    report = (
        _calendar(decode(data, charset, reading=reading.aside()), reading.limits)
        if kind == "calendar"
        else _blocks(kind, data, silent=reading.aside())
    )
    return report if report.fields or report.items else None


def _blocks(kind: str, data: bytes, *, silent: Reading) -> Report:
    """Read blocks of header fields: the first is about the message, each other about one recipient."""
    blocks: list[dict[str, str]] = []
    at = 0
    while at < len(data) and len(blocks) <= silent.limits.addresses:
        while data[at : at + 1] in (b"\r", b"\n"):
            at += 1
        headers, body = read_headers(data, at, len(data), reading=silent)
        if body <= at:
            break
        at = body
        if headers.fields:
            blocks.append(_fields(headers, silent))
    return Report(kind, blocks[0] if blocks else {}, tuple(blocks[1:]))


def _fields(headers: Headers, silent: Reading) -> dict[str, str]:
    """Return the fields as text; a repeated field has a line for each value."""
    return {
        storable(name.decode("ascii", "replace")): "\n".join(
            header_text(value[:_LONGEST_VALUE], hint=None, reading=silent) or "" for value in values
        )
        for name, values in headers.fields.items()
    }


def _calendar(text: str, limits: Limits) -> Report:
    fields: dict[str, str] = {}
    items: list[dict[str, str]] = []
    inside: list[str] = []
    for line in _LINE_END.split(_FOLD.sub("", text)):
        match = _PROPERTY.match(line)
        if match is None:
            continue
        name, parameters, value = match[1].upper(), match[2], match[3].strip()
        if name == "BEGIN" and len(inside) < limits.depth:
            inside.append(value.upper())
            if inside[-1] in _ENTRIES and len(items) < limits.addresses:
                items.append({"component": inside[-1].lower()})
        elif name == "END":
            inside = inside[:-1]
        elif inside == ["VCALENDAR"]:
            fields.setdefault(name.lower(), _plain(value))
        elif inside and inside[-1] in _ENTRIES and items:
            _add(items[-1], name.lower(), _plain(value), parameters)
    return Report("calendar", fields, tuple(items))


def _add(item: dict[str, str], name: str, value: str, parameters: str) -> None:
    zone = _ZONE.search(parameters)
    if zone:
        item.setdefault(f"{name}-tzid", zone[1])
    known = item.get(name)
    if known is None:
        item[name] = value
    elif len(known) < _LONGEST_VALUE:
        item[name] = f"{known}\n{value}"


def _plain(value: str) -> str:
    return storable(_ESCAPED.sub(lambda match: "\n" if match[1] in "nN" else match[1], value[:_LONGEST_VALUE]))
