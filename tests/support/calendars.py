"""Mails with calendars, as the big programs write them."""

#: Outlook's: the zone is Windows' name or "Customized Time Zone", with its rules beside it.
OUTLOOK_ZONE = """BEGIN:VTIMEZONE
TZID:Customized Time Zone
BEGIN:STANDARD
DTSTART:16010101T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE"""


def event(*lines: str, component: str = "VEVENT") -> str:
    """Return an entry of a calendar."""
    return "\n".join([f"BEGIN:{component}", *lines, f"END:{component}"])


def calendar_mail(*entries: str, method: str | None = "REQUEST", type_: str = "text/calendar; charset=utf-8") -> bytes:
    """Return a mail that is one calendar."""
    head = ["BEGIN:VCALENDAR", "VERSION:2.0", *([f"METHOD:{method}"] if method else [])]
    lines = "\n".join([*head, *entries, "END:VCALENDAR", ""]).replace("\n", "\r\n")
    return f"Subject: x\r\nContent-Type: {type_}\r\n\r\n".encode() + lines.encode()
