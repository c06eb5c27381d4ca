"""Times that come from outside: read as ISO 8601, in UTC, and within bounds that every part can store, show and add to.

A time without an offset is UTC. The bounds hold after the conversion: `0001-01-01T00:00:00+01:00` is a time of year 1 as it
is written and of year 0 in UTC, which PostgreSQL keeps and Python cannot read again.
"""

from datetime import UTC, datetime, timedelta

#: There was no e-mail before the first, and nothing here is planned for after the second.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)

#: A constant sentence for people: what is wrong and what to write instead.
HOW = "use a time such as 2026-11-23T08:00:00Z"
OUT_OF_BOUNDS = f"the time must be between {EARLIEST:%Y-%m-%d} and {LATEST:%Y-%m-%d}, in UTC"

#: Clocks differ; who tells of a later moment than this tells nonsense.
_AHEAD = timedelta(days=1)


def bounded(time: datetime) -> datetime:
    """Return `time` in UTC.

    Raises:
        ValueError: it is out of bounds; the text is a sentence for people.
    """
    try:
        utc = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (OverflowError, ValueError):
        raise ValueError(OUT_OF_BOUNDS) from None
    if not is_sound(utc):
        raise ValueError(OUT_OF_BOUNDS)
    return utc


def read_time(text: str) -> datetime:
    """Return what an ISO 8601 text means, in UTC.

    Raises:
        ValueError: it is none, or out of bounds; the text is a sentence for people.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(HOW) from None
    return bounded(time)


def is_sound(time: datetime) -> bool:
    """Return whether an aware time is within the bounds."""
    return EARLIEST <= time < LATEST


def happened(time: datetime | None, *, received_at: datetime) -> datetime:
    """Return when something happened by another's clock; what cannot be true counts as happened when it was received."""
    try:
        moment = received_at if time is None else bounded(time)
    except ValueError:
        return received_at
    return moment if moment <= received_at + _AHEAD else received_at
