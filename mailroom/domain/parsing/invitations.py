"""Invitations: the entries of a calendar as people read them, by RFC 5545 and RFC 5546, and Outlook's meeting requests.

Nothing is concluded from them: who invites, who accepted and when is the sender's word.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import unquote

from mailroom.domain.mail.carried import Attendee, CalendarTime, Invitation
from mailroom.domain.parsing.calendars import Calendar, Properties, Property
from mailroom.domain.parsing.charsets import storable
from mailroom.domain.parsing.recurrence import recurrence_in_words
from mailroom.domain.parsing.zones import Zones, calendar_time, plus

MOST_INVITATIONS = 50
_MOST_ATTENDEES = 100

_COMPONENTS = {"vevent": "event", "vtodo": "task", "vjournal": "journal", "vfreebusy": "free_busy"}
_ACTIONS = {
    "REQUEST": "request", "CANCEL": "cancel", "REPLY": "reply", "COUNTER": "counter", "DECLINECOUNTER": "decline_counter",
    "ADD": "add", "REFRESH": "refresh", "PUBLISH": "publish",
}  # fmt: skip
_ANSWERS = {
    "ACCEPTED": "accepted", "DECLINED": "declined", "TENTATIVE": "tentative", "DELEGATED": "delegated",
    "COMPLETED": "accepted", "IN-PROCESS": "accepted",
}  # fmt: skip
#: Ends of Outlook's message classes ([MS-OXCMSG], [MS-OXOCAL] section 2.2): IPM.Schedule.Meeting.Request, and older ones.
_OUTLOOK = {
    "request": "request", "mtgreq": "request", "canceled": "cancel", "mtgcncl": "cancel", "pos": "reply", "neg": "reply",
    "tent": "reply", "mtgrespp": "reply", "mtgrespn": "reply", "mtgrespa": "reply",
}  # fmt: skip
_NAME = re.compile(r'(?i);CN=(?:"([^"]*)"|([^;:"]*))')
_EMAIL = re.compile(r'(?i);EMAIL=(?:"([^"]*)"|([^;:"]*))')
_ANSWER = re.compile(r'(?i);PARTSTAT="?([A-Z-]{1,30})')
_MAILTO = re.compile(r"(?i)mailto:\s*([^\s?]{1,300})")
_CARET = re.compile(r"\^([\^n'])")
_SPECIAL = re.compile(r'[()<>\[\]:;@\\,"]')
_DURATION = re.compile(
    r"\+?P(?:([0-9]{1,4})W)?(?:([0-9]{1,5})D)?(?:T(?:([0-9]{1,5})H)?(?:([0-9]{1,6})M)?(?:([0-9]{1,7})S)?)?"
)
_LONGEST_NAME = 300


def invitations_of(calendar: Calendar, *, method: str | None) -> list[Invitation]:
    """Return the calendar's entries; `method` is that of the part's type, for a calendar without one."""
    action = _ACTIONS.get((calendar.fields.get("method") or method or "").strip().upper())
    return [_invitation(entry, action, calendar.zones) for entry in calendar.entries[:MOST_INVITATIONS]]


def outlook_invitation(message_class: str | None, meeting: Mapping[str, str]) -> Invitation:
    """Return the meeting of a winmail.dat; its times are named as in a calendar."""
    action = _OUTLOOK.get((message_class or "").rstrip(".").rpartition(".")[2].lower())
    starts, ends = (
        calendar_time(Property("", meeting[name]), {}) if name in meeting else None for name in ("dtstart", "dtend")
    )
    return Invitation("event", action, meeting.get("summary"), meeting.get("location"), starts=starts, ends=ends)


def _invitation(entry: Properties, action: str | None, zones: Zones) -> Invitation:
    status, sequence = (entry.text("status") or "").lower()[:30] or None, _sequence(entry)
    if status == "cancelled" and action in ("request", "publish", None):
        action = "cancel"
    elif action == "request" and sequence:
        action = "update"
    starts = calendar_time(entry.first("dtstart"), zones)
    starts, ends, all_day = _whole_days(entry, starts, _end(entry, starts, zones))
    attendees = entry.values.get("attendee", [])
    organiser, rule = entry.first("organizer"), entry.text("rrule")
    return Invitation(
        component=_COMPONENTS[entry.component],
        action=action,
        summary=entry.text("summary"),
        location=entry.text("location"),
        description=entry.text("description"),
        organiser=_person(organiser) if organiser else None,
        starts=starts,
        ends=ends,
        all_day=all_day,
        recurrence=recurrence_in_words(rule, added=_dates(entry, "rdate"), excluded=_dates(entry, "exdate")),
        recurrence_rule=rule[:_LONGEST_NAME] if rule else None,
        occurrence=calendar_time(entry.first("recurrence-id"), zones),
        status=status,
        uid=(entry.text("uid") or "")[:_LONGEST_NAME] or None,
        sequence=sequence,
        attendees=tuple(Attendee(_person(one), _answer(one)) for one in attendees[:_MOST_ATTENDEES]),
        attendees_left_out=max(0, len(attendees) - _MOST_ATTENDEES) + entry.more.get("attendee", 0),
    )


def _sequence(entry: Properties) -> int | None:
    text = entry.text("sequence") or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _end(entry: Properties, starts: CalendarTime | None, zones: Zones) -> CalendarTime | None:
    ends = calendar_time(entry.first("dtend") or entry.first("due"), zones)
    if ends is not None or starts is None:
        return ends
    match = _DURATION.fullmatch((entry.text("duration") or "").upper())
    if match is None or not any(match.groups()):
        return None
    weeks, days, hours, minutes, seconds = (int(number or 0) for number in match.groups())
    lasts = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    return plus(starts, lasts, zones)


def _whole_days(
    entry: Properties, starts: CalendarTime | None, ends: CalendarTime | None
) -> tuple[CalendarTime | None, CalendarTime | None, bool]:
    """Return the times, and whether they are whole days: dates, or midnights that Outlook marks as an all-day event."""
    midnights = [one.local.endswith("T00:00:00") for one in (starts, ends) if one]
    marked = (entry.text("x-microsoft-cdo-alldayevent") or "").upper() == "TRUE"
    if marked and midnights and all(midnights):
        starts, ends = (CalendarTime(one.local.partition("T")[0]) if one else None for one in (starts, ends))
    return starts, ends, starts is not None and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", starts.local) is not None


def _dates(entry: Properties, name: str) -> int:
    return sum(1 + one.value.count(",") for one in entry.values.get(name, ())) + entry.more.get(name, 0)


def _person(found: Property) -> str:
    """Return `Name <address>`, the name quoted if it could be misread for an address; or what there is of both."""
    name = _text(_parameter(_NAME, found))
    match = _MAILTO.search(found.value)
    address = unquote(match[1]) if match else _parameter(_EMAIL, found) or found.value
    address = "".join(_text(address).split())
    if not match and "@" not in address:
        return name or address
    if not name or name.casefold() == address.casefold():
        return address
    if _SPECIAL.search(name):
        name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{name} <{address}>"


def _parameter(kind: re.Pattern[str], found: Property) -> str:
    match = kind.search(found.parameters)
    written = (match[1] or match[2] or "") if match else ""
    # RFC 6868: quotes and line ends in parameters.
    return _CARET.sub(lambda one: {"n": " ", "'": '"'}.get(one[1], "^"), written)


def _answer(found: Property) -> str | None:
    match = _ANSWER.search(found.parameters)
    return _ANSWERS.get(match[1].upper()) if match else None


def _text(written: str) -> str:
    return storable(" ".join(written.split()))[:_LONGEST_NAME]
