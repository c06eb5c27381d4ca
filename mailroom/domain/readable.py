"""Texts, times and sizes formatted for people."""

import re
from datetime import UTC, datetime, tzinfo

#: Controls except tab and line feed, and characters that change the direction of text (Unicode TR 9).
_DECEIVING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")

#: A From with a name, and no second address.
_NAMED = re.compile(r'"?([^<>"]*)"?\s*<([^<>\s,]+)>')

#: The most days ago of a time that is shown by its weekday: on the seventh it would be today's.
_WEEK = 6


def shown(text: str | None, missing: str = "") -> str:
    """Return a sender's text without characters that deceive the eye; `missing` if there is none."""
    return _DECEIVING.sub("", text or "").strip() or missing


def when(time: datetime | str | None, *, seconds: bool = False, zone: tzinfo = UTC) -> str:
    """Return a time for people, with its zone."""
    moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    if moment is None:
        return "unknown"
    local = moment.astimezone(zone)
    return f"{local.day} {local:%b} {local.year}, {local:{'%H:%M:%S' if seconds else '%H:%M'}} {local:%Z}"


def short_time(time: datetime, *, now: datetime, zone: tzinfo = UTC) -> str:
    """Return a time for a list, by the calendar of `zone`: today 04:47, yesterday 18:02, Tue 09:12, 12 Nov, 12 Nov 2025."""
    moment, present = time.astimezone(zone), now.astimezone(zone)
    days = (present.date() - moment.date()).days
    if 0 <= days <= _WEEK:
        return f"{('today', 'yesterday')[days] if days < 2 else f'{moment:%a}'} {moment:%H:%M}"
    return f"{moment.day} {moment:%b}" + (f" {moment.year}" if moment.year != present.year else "")


def sender_parts(written: str) -> tuple[str, str]:
    """Return name and address of a From as a list shows them; where it has no name, all of it is the name."""
    found = _NAMED.fullmatch(written.strip())
    return (found[1].strip(), found[2]) if found and found[1].strip() else (written.strip().strip("<>"), "")


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
