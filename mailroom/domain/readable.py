"""Texts, times and sizes formatted for people."""

import re
from datetime import UTC, datetime, timedelta

#: Controls except tab and line feed, and characters that change the direction of text (Unicode TR 9).
_DECEIVING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


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


def lasted(span: timedelta) -> str:
    """Return a duration for people, in its largest unit, such as 3 minutes."""
    seconds = max(span.total_seconds(), 0.0)
    if seconds < 10:
        return f"{seconds:.1f} seconds"
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} seconds"
