"""Machine-readable parts: delivery reports, receipts, complaints, calendars, and their fields.

Delivery reports: RFC 3464 (and 6533). Receipts (MDN): RFC 8098. Complaints (ARF): RFC 5965. Calendars: RFC 5545.
All fields are the sender's claims: they are returned, and nothing is concluded from them.
"""

import re
from collections.abc import Sequence

from mailroom.domain.mail.carried import Invitation, Report
from mailroom.domain.parsing.calendars import LONGEST_VALUE, entry_fields, read_calendar
from mailroom.domain.parsing.charsets import decode, storable
from mailroom.domain.parsing.headers import Headers, read_headers
from mailroom.domain.parsing.invitations import invitations_of
from mailroom.domain.parsing.limits import Defect, Reading
from mailroom.domain.parsing.words import header_text

_RECIPIENT = re.compile(rb"(?im)^final-recipient[ \t]*:")
_KINDS = {
    "message/delivery-status": "delivery",
    "message/global-delivery-status": "delivery",
    "message/disposition-notification": "disposition",
    "message/global-disposition-notification": "disposition",
    "message/feedback-report": "abuse",
    "text/calendar": "calendar",
    "application/ics": "calendar",
}


def report_type(content_type: str, data: bytes) -> str | None:
    """Return the type of a machine-readable part, else None. What begins like a calendar is one, whatever its type."""
    if content_type in _KINDS:
        return content_type
    return "text/calendar" if data[:64].lstrip(b"\xef\xbb\xbf\r\n ")[:15].upper() == b"BEGIN:VCALENDAR" else None


def read_report(
    content_type: str, data: bytes, *, charset: str | None, method: str | None = None, reading: Reading
) -> tuple[Report | None, Sequence[Invitation], int]:
    """Return the report in a part of this type, or None if it has no field; a calendar's invitations, and how many more it has.

    `method` is the parameter of a calendar's type, which counts where the calendar names none.
    """
    kind = _KINDS[content_type]
    granted = reading.remaining.report_bytes.take(len(data))
    if granted < len(data):
        reading.note(Defect.TEXT_TOO_LONG, size=len(data) - granted)
        data = data[:granted]
    if kind == "calendar":
        calendar = read_calendar(decode(data, charset, reading=reading.aside()), reading.limits)
        report = Report(kind, calendar.fields, tuple(entry_fields(entry) for entry in calendar.entries))
        invitations = invitations_of(calendar, method=method)
        more = len(calendar.entries) - len(invitations) + calendar.more_entries
    else:
        report, invitations, more = _blocks(kind, data, reading=reading), [], 0
    return report if report.fields or report.items else None, invitations, more


def _blocks(kind: str, data: bytes, *, reading: Reading) -> Report:
    """Read blocks of header fields: the first is about the message, each other about one recipient."""
    blocks: list[dict[str, str]] = []
    silent = reading.aside()
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
    if len(blocks) > silent.limits.addresses and data[at:].strip():
        reading.note(Defect.TOO_MANY_ADDRESSES, count=len(_RECIPIENT.findall(data, at)), size=len(data) - at)
    return Report(kind, blocks[0] if blocks else {}, tuple(blocks[1:]))


def _fields(headers: Headers, silent: Reading) -> dict[str, str]:
    """Return the fields as text; a repeated field has a line for each value."""
    return {
        storable(name.decode("ascii", "replace")): "\n".join(
            header_text(value[:LONGEST_VALUE], hint=None, reading=silent) or "" for value in values
        )
        for name, values in headers.fields.items()
    }
