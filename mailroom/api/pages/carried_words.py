"""What an item carries beside its text and files, in words for its page."""

from datetime import date, datetime, timedelta

from mailroom.domain.mail.carried import CalendarTime, Invitation
from mailroom.domain.readable import shown

_PROTECTIONS = {
    "smime_signed": "signed (S/MIME); the signature is not verified here",
    "smime_encrypted": "encrypted (S/MIME): cannot be read here",
    "pgp_signed": "signed (OpenPGP); the signature is not verified here",
    "pgp_encrypted": "encrypted (OpenPGP): cannot be read here",
}
_REPORTS = {"delivery": "Delivery report", "disposition": "Read receipt", "abuse": "Complaint report"}
_COMPONENTS = {"event": "Meeting", "task": "Task", "journal": "Journal entry", "free_busy": "Free and busy times"}
_ACTIONS = {
    "request": "invitation",
    "update": "changed invitation",
    "cancel": "cancelled",
    "reply": "answer to an invitation",
    "counter": "another time is proposed",
    "decline_counter": "the proposed time is declined",
    "add": "more dates are added",
    "refresh": "asks for the current invitation",
}
_LEFT_OUT = {
    "invitations": ("entry of a calendar", "entries of calendars"),
    "header_fields": ("header field (left out or cut)", "header fields (left out or cut)"),
    "reports": ("report, or recipient of a report,", "reports, or recipients of reports,"),
    "reply_to": ("address of Reply-To", "addresses of Reply-To"),
    "in_reply_to": ("Message-ID of In-Reply-To", "Message-IDs of In-Reply-To"),
    "references": ("Message-ID of References", "Message-IDs of References"),
}


def protection_words(word: str) -> str:
    """Return how a mail is protected."""
    return _PROTECTIONS.get(word, shown(word))


def report_words(kind: str) -> str:
    """Return what a report is."""
    return _REPORTS.get(kind, "Report")


def invitation_words(invitation: Invitation) -> str:
    """Return what an entry of a calendar is, and what its mail does about it: `Meeting, changed invitation`."""
    component = _COMPONENTS.get(invitation.component, "Entry")
    action = _ACTIONS.get(invitation.action or "")
    return f"{component}, {action}" if action else component


def left_out_words(count: int, name: str) -> str:
    """Return what a limit left out, by the name of the item's field: `1,200 header fields are`."""
    one, several = _LEFT_OUT.get(name, (shown(name.replace("_", " ")),) * 2)
    return f"{count:,} {one} is" if count == 1 else f"{count:,} {several} are"


def invitation_time(invitation: Invitation) -> str:
    """Return when an entry is: its own time with its zone, and in UTC where that is known; `due` for an end alone; "" if it has none."""
    starts, ends = invitation.starts, invitation.ends
    if starts is None:
        return f"due {calendar_time(ends)}" if ends else ""
    if invitation.all_day:
        return _days(starts, ends)
    if ends is None:
        return calendar_time(starts)
    if starts.zone != ends.zone or _moment(starts) is None or _moment(ends) is None:
        return f"{calendar_time(starts)} to {calendar_time(ends)}"
    both = f"{_local(starts)} to {_later(ends, starts)}{_zone(starts)}"
    return (
        f"{both} ({_utc(starts)} to {_utc(ends, starts)} UTC)"
        if starts.at and ends.at and starts.zone != "UTC"
        else both
    )


def calendar_time(time: CalendarTime) -> str:
    """Return one time of a calendar with its zone."""
    utc = f" ({_utc(time)} UTC)" if time.at and time.zone != "UTC" else ""
    return f"{_local(time)}{_zone(time)}{utc}"


def _days(starts: CalendarTime, ends: CalendarTime | None) -> str:
    try:
        # The end is the day after the last; some programs repeat the first day instead.
        last = date.fromisoformat(ends.local) - timedelta(days=1) if ends else None
    except (ValueError, OverflowError):
        last = None
    more = f" to {_day(last)}" if last and last.isoformat() > starts.local else ""
    return f"{_local(starts)}{more}, all day"


def _zone(time: CalendarTime) -> str:
    if time.zone is None:
        return ", no time zone named" if _moment(time) else ""
    return f", {shown(time.zone)}" + ("" if time.at else " (not known here)")


def _later(ends: CalendarTime, starts: CalendarTime) -> str:
    """Return the end, without its day if that is the same."""
    return ends.local[11:16] if ends.local[:10] == starts.local[:10] else _local(ends)


def _utc(time: CalendarTime, after: CalendarTime | None = None) -> str:
    """Return the moment in UTC, without its day if that is the same as the local one, or as that of `after`."""
    assert time.at is not None
    same = after.at.date() if after and after.at else date.fromisoformat(time.local[:10])
    return f"{time.at:%H:%M}" if time.at.date() == same else f"{_day(time.at)}, {time.at:%H:%M}"


def _local(time: CalendarTime) -> str:
    moment = _moment(time)
    if moment is not None:
        return f"{_day(moment)}, {moment:%H:%M}"
    try:
        return _day(date.fromisoformat(time.local))
    except ValueError:
        return shown(time.local)


def _moment(time: CalendarTime) -> datetime | None:
    try:
        return datetime.fromisoformat(time.local) if "T" in time.local else None
    except ValueError:
        return None


def _day(day: date) -> str:
    return f"{day:%a} {day.day} {day:%b} {day.year}"


#: The filters of templates that this module gives.
FILTERS = (protection_words, report_words, invitation_words, invitation_time, calendar_time, left_out_words)
