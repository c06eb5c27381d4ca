"""Texts, times and sizes formatted for people."""

import re
from datetime import UTC, datetime, tzinfo

#: Controls except tab and line feed, and characters that change the direction of text (Unicode TR 9).
_DECEIVING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")

#: The most days ago of a time that is shown by its weekday: on the seventh it would be today's.
_WEEK = 6


def shown(text: str | None, missing: str = "") -> str:
    """Return a sender's text without characters that deceive the eye; `missing` if there is none."""
    return _DECEIVING.sub("", text or "").strip() or missing


def when(time: datetime | str | None, *, seconds: bool = False) -> str:
    """Return a time for people, in UTC."""
    moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    if moment is None:
        return "unknown"
    utc = moment.astimezone(UTC)
    return f"{utc.day} {utc:%b} {utc.year}, {utc:{'%H:%M:%S' if seconds else '%H:%M'}} UTC"


def short_time(time: datetime, *, now: datetime, zone: tzinfo = UTC) -> str:
    """Return a time for a list, by the calendar of `zone`: today 04:47, yesterday 18:02, Tue 09:12, 12 Nov, 12 Nov 2025."""
    moment, present = time.astimezone(zone), now.astimezone(zone)
    days = (present.date() - moment.date()).days
    if 0 <= days <= _WEEK:
        return f"{ {0: 'today', 1: 'yesterday'}.get(days) or f'{moment:%a}' } {moment:%H:%M}"
    return f"{moment.day} {moment:%b}" + (f" {moment.year}" if moment.year != present.year else "")


def deferred_line(messages: int, until: datetime | str | None) -> str:
    """Return how many messages of a batch wait for their recipients' servers, and when the next of them is tried again."""
    then = f"next try {when(until)}" if until else "not tried again before the batch expires"
    return f"{messages:,} deferred by their recipients' servers, {then}"


def stamp(time: datetime | str | None) -> str:
    """Return a time in ISO 8601, for programs."""
    return time.isoformat() if isinstance(time, datetime) else time or ""


def size(octets: int) -> str:
    """Return a number of bytes for people, such as 1.2 MB."""
    if octets < 1000:
        return f"{octets} B"
    amount = float(octets)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 999.5 or unit == "GB":
            break
    return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:.0f} {unit}"
