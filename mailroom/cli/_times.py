"""Times and durations in options."""

from datetime import UTC, datetime

from mailroom.domain.errors import ConfigurationError
from mailroom.domain.times import OUT_OF_BOUNDS, bounded, read_time
from mailroom.domain.times import duration as duration


def since(word: str | None) -> datetime | None:
    """Return the time of `2h` or `3d` ago, or of an ISO date and time."""
    return None if word is None else _moment(word, "--since", ahead=False)


def at(word: str | None) -> datetime | None:
    """Return the time of `90m`, `2h` or `3d` from now, or of an ISO date and time."""
    return None if word is None else _moment(word, "--at", ahead=True)


def ends(word: str | None) -> datetime | None:
    """Return the time of `90d` or `12h` from now, or of an ISO date and time, at which something ends."""
    return None if word is None else _moment(word, "--ends", ahead=True)


def _moment(word: str, option: str, *, ahead: bool) -> datetime:
    span = duration(word)
    try:
        if span is None:
            return read_time(word)
        return bounded(datetime.now(UTC) + (span if ahead else -span))
    except (ValueError, OverflowError) as error:
        what = f"{OUT_OF_BOUNDS}; " if str(error) == OUT_OF_BOUNDS or isinstance(error, OverflowError) else ""
        shown = word if len(word) <= 50 else f"{word[:50]}..."
        raise ConfigurationError(f"{option} {shown}: {what}use 90m, 2h, 3d or 2026-11-21T08:00") from None
