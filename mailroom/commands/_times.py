"""Times and durations as people type them."""

from datetime import UTC, datetime, timedelta

from mailroom.domain.errors import ConfigurationError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(word: str) -> timedelta | None:
    """Return what `90s`, `15m`, `2h` or `3d` means; None when it is nothing of the kind."""
    if word[:-1].isdigit() and word[-1] in _UNITS:
        return timedelta(**{_UNITS[word[-1]]: int(word[:-1])})
    return None


def since(word: str | None) -> datetime | None:
    """Return the time that `2h`, `3d` or an ISO date and time means."""
    if word is None:
        return None
    ago = duration(word)
    if ago is not None:
        return datetime.now(UTC) - ago
    try:
        told = datetime.fromisoformat(word)
    except ValueError:
        raise ConfigurationError(f"--since {word}: write 90m, 2h, 3d or 2026-11-21T08:00") from None
    return told if told.tzinfo else told.replace(tzinfo=UTC)
