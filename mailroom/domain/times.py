"""Times from outside: ISO 8601, converted to UTC, within bounds that every component can store, show and calculate with.

A time without an offset is UTC. The bounds apply after the conversion: `0001-01-01T00:00:00+01:00` is in year 1 as written
and in year 0 in UTC, which PostgreSQL stores and Python cannot read back.
"""

from datetime import UTC, datetime, timedelta

#: No e-mail is older than the first, and nothing is scheduled after the second.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)

#: A constant sentence for people: what is wrong and what to write instead.
HOW = "use a time such as 2026-11-23T08:00:00Z"
OUT_OF_BOUNDS = f"the time must be between {EARLIEST:%Y-%m-%d} and {LATEST:%Y-%m-%d}, in UTC"

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

#: Clocks differ, but a time further in the future than this is wrong.
_AHEAD = timedelta(days=1)


def bounded(time: datetime) -> datetime:
    """Return `time` in UTC.

    Raises:
        ValueError: it is out of bounds; the message is a sentence for people.
    """
    try:
        utc = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (OverflowError, ValueError):
        raise ValueError(OUT_OF_BOUNDS) from None
    if not is_sound(utc):
        raise ValueError(OUT_OF_BOUNDS)
    return utc


def read_time(text: str) -> datetime:
    """Return the time of an ISO 8601 text, in UTC.

    Raises:
        ValueError: it is not ISO 8601, or out of bounds; the message is a sentence for people.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(HOW) from None
    return bounded(time)


def duration(word: str) -> timedelta | None:
    """Return the duration `90s`, `15m`, `2h` or `3d`; None if it has another form or is implausibly long."""
    if word[:-1].isascii() and word[:-1].isdigit() and word[-1] in _UNITS:
        try:
            return timedelta(**{_UNITS[word[-1]]: int(word[:-1])})
        except (OverflowError, ValueError):
            return None
    return None


def is_sound(time: datetime) -> bool:
    """Return whether an aware time is within the bounds."""
    return EARLIEST <= time < LATEST


def happened(time: datetime | None, *, received_at: datetime) -> datetime:
    """Return a time by another system's clock, or `received_at` if it is missing, out of bounds or over a day ahead."""
    try:
        moment = received_at if time is None else bounded(time)
    except ValueError:
        return received_at
    return moment if moment <= received_at + _AHEAD else received_at
