"""What an item carries beside its text and files, in words for its page."""

from datetime import date, datetime, timedelta

from markupsafe import Markup

from mailroom.api.pages.formats import day
from mailroom.api.pages.translations import gettext, ngettext, words
from mailroom.domain.mail.carried import CalendarTime, Invitation
from mailroom.domain.readable import shown

#: Each in short, for a page that says the rest elsewhere, and in full.
PROTECTIONS = {
    "smime_signed": ("signed (S/MIME)", "signed (S/MIME); the signature is not verified here"),
    "smime_encrypted": ("encrypted (S/MIME)", "encrypted (S/MIME): cannot be read here"),
    "pgp_signed": ("signed (OpenPGP)", "signed (OpenPGP); the signature is not verified here"),
    "pgp_encrypted": ("encrypted (OpenPGP)", "encrypted (OpenPGP): cannot be read here"),
}
REPORTS = {"delivery": "Delivery report", "disposition": "Read receipt", "abuse": "Complaint report"}
COMPONENTS = {"event": "Meeting", "task": "Task", "journal": "Journal entry", "free_busy": "Free and busy times"}
ACTIONS = {
    "request": "invitation",
    "update": "changed invitation",
    "cancel": "cancelled",
    "reply": "answer to an invitation",
    "counter": "another time is proposed",
    "decline_counter": "the proposed time is declined",
    "add": "more dates are added",
    "refresh": "asks for the current invitation",
}
LEFT_OUT = {
    "invitations": (
        "%(count)s entry of a calendar is over a limit.",
        "%(count)s entries of calendars are over a limit.",
    ),
    "header_fields": (
        "%(count)s header field (left out or cut) is over a limit.",
        "%(count)s header fields (left out or cut) are over a limit.",
    ),
    "reports": (
        "%(count)s report, or recipient of a report, is over a limit.",
        "%(count)s reports, or recipients of reports, are over a limit.",
    ),
    "reply_to": (
        "%(count)s address of Reply-To is over a limit.",
        "%(count)s addresses of Reply-To are over a limit.",
    ),
    "in_reply_to": (
        "%(count)s Message-ID of In-Reply-To is over a limit.",
        "%(count)s Message-IDs of In-Reply-To are over a limit.",
    ),
    "references": (
        "%(count)s Message-ID of References is over a limit.",
        "%(count)s Message-IDs of References are over a limit.",
    ),
}
_OTHER = ("%(count)s %(name)s is over a limit.", "%(count)s %(name)s are over a limit.")


def protection_words(word: str, *, short: bool = False) -> Markup:
    """Return how a mail is protected."""
    return gettext(PROTECTIONS[word][0 if short else 1] if word in PROTECTIONS else shown(word))


def report_words(kind: str) -> Markup:
    """Return what a report is."""
    return gettext(REPORTS.get(kind, "Report"))


def invitation_words(invitation: Invitation) -> Markup:
    """Return what an entry of a calendar is, and what its mail does about it: `Meeting, changed invitation`."""
    component = gettext(COMPONENTS.get(invitation.component, "Entry"))
    action = ACTIONS.get(invitation.action or "")
    return gettext("%(entry)s, %(action)s", entry=component, action=gettext(action)) if action else component


def left_out_words(count: int, name: str) -> Markup:
    """Return what a limit left out, by the name of the item's field: `1,200 header fields (left out or cut) are over a limit.`"""
    if name in LEFT_OUT:
        return ngettext(*LEFT_OUT[name], count)
    return ngettext(*_OTHER, count, name=words(name))


def invitation_time(invitation: Invitation) -> Markup:
    """Return when an entry is: its own time with its zone, and in UTC where that is known; `due` for an end alone; "" if it has none."""
    starts, ends = invitation.starts, invitation.ends
    if starts is None:
        return gettext("due %(time)s", time=calendar_time(ends)) if ends else Markup("")
    if invitation.all_day:
        return _days(starts, ends)
    if ends is None:
        return calendar_time(starts)
    if starts.zone != ends.zone or _moment(starts) is None or _moment(ends) is None:
        return _span(calendar_time(starts), calendar_time(ends))
    both = gettext("%(time)s%(zone)s", time=_span(_local(starts), _later(ends, starts)), zone=_zone(starts))
    if starts.at and ends.at and starts.zone != "UTC":
        return gettext("%(time)s (%(utc)s UTC)", time=both, utc=_span(_utc(starts), _utc(ends, starts)))
    return both


def calendar_time(time: CalendarTime) -> Markup:
    """Return one time of a calendar with its zone."""
    own = gettext("%(time)s%(zone)s", time=_local(time), zone=_zone(time))
    return gettext("%(time)s (%(utc)s UTC)", time=own, utc=_utc(time)) if time.at and time.zone != "UTC" else own


def _span(first: str, last: str) -> Markup:
    return gettext("%(first)s to %(last)s", first=first, last=last)


def _days(starts: CalendarTime, ends: CalendarTime | None) -> Markup:
    try:
        # The end is the day after the last; some programs repeat the first day instead.
        last = date.fromisoformat(ends.local) - timedelta(days=1) if ends else None
    except (ValueError, OverflowError):
        last = None
    first = _local(starts)
    days = _span(first, _day(last)) if last and last.isoformat() > starts.local else first
    return gettext("%(days)s, all day", days=days)


def _zone(time: CalendarTime) -> str:
    if time.zone is None:
        return gettext(", no time zone named") if _moment(time) else ""
    if time.at:
        return f", {shown(time.zone)}"
    return gettext(", %(zone)s (not known here)", zone=shown(time.zone))


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


def _day(one: date) -> str:
    return day(one, weekday=True)


#: The filters of templates that this module gives.
FILTERS = (protection_words, report_words, invitation_words, invitation_time, calendar_time, left_out_words)
