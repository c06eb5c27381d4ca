"""The languages in which Mailroom speaks to people, and the time zones that a person can choose."""

from functools import cache
from zoneinfo import ZoneInfo, available_timezones

#: The first is the language of the texts themselves, and of a reader whose languages are not among them.
LANGUAGES = ("en", "fr", "de")
#: Regions of the IANA database; its other names are aliases, or offsets that know no summer time.
REGIONS = ("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")


@cache
def zones() -> tuple[str, ...]:
    """Return the names of the zones that can be chosen: UTC, then `Region/Place`, sorted."""
    places = (one for one in available_timezones() if one.partition("/")[0] in REGIONS and "/" in one)
    return ("UTC", *sorted(places))


def zone_named(name: str | None) -> ZoneInfo | None:
    """Return the zone with this name; None for one that this machine does not know (any more)."""
    return ZoneInfo(name) if name in zones() else None


def read_language(written: str) -> str | None:
    """Return the chosen language; None for no choice.

    Raises:
        ValueError: it is none; the message is a sentence for people.
    """
    if written and written not in LANGUAGES:
        raise ValueError("choose a language of the list")
    return written or None


def read_zone(written: str) -> str | None:
    """Return the name of the chosen time zone; None for no choice.

    Raises:
        ValueError: it is none; the message is a sentence for people.
    """
    if written and written not in zones():
        raise ValueError("choose a time zone of the list")
    return written or None
