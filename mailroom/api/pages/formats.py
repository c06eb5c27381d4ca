"""Times, numbers and sizes as the reader of a page writes them: in the reader's language and time zone."""

from datetime import date, datetime, tzinfo

from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal

from mailroom.api.pages.reader import reader
from mailroom.domain.readable import size as english_size
from mailroom.domain.texts import Octets

#: The day before the month in all three languages; Babel has the names of months, and their full stops.
_DAY = {"en": "d MMM y", "fr": "d MMM y", "de": "d. MMM y"}
#: French counts octets.
_UNITS = {"fr": {"B": "o", "kB": "ko", "MB": "Mo", "GB": "Go"}}


def when(time: datetime | str | None, *, seconds: bool = False, zone: tzinfo | None = None) -> str:
    """Return a time for people; a zone that is passed is named after it, the reader's own is not, unless it is UTC."""
    moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    if moment is None:
        return ""
    here = reader()
    pattern = f"{_DAY[here.language]}, {'HH:mm:ss' if seconds else 'HH:mm'}"
    own = moment.astimezone(zone or here.time_zone)
    written = format_datetime(own, pattern, tzinfo=own.tzinfo, locale=here.language)
    return f"{written} {own:%Z}" if zone or here.zone == "UTC" else written


def zone_of(time: datetime | str | None) -> str:
    """Return the reader's time zone with its difference from UTC at a time: `Europe/Berlin, UTC+01:00`."""
    moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    here = reader()
    if moment is None or here.zone == "UTC":
        return "UTC"
    offset = moment.astimezone(here.time_zone).strftime("%z")
    return f"{here.zone}, UTC{offset[:3]}:{offset[3:5]}"


def day(one: date, *, weekday: bool = False) -> str:
    """Return a day; it is of no time zone."""
    pattern = _DAY[reader().language]
    return format_date(one, f"EEE {pattern}" if weekday else pattern, locale=reader().language)


def number(value: int) -> str:
    """Return a whole number, its thousands apart."""
    return str(format_decimal(value, locale=reader().language))


def size(octets: int) -> str:
    """Return a number of bytes, such as 1.2 MB."""
    amount, _, unit = english_size(octets).partition(" ")
    digits = len(amount.partition(".")[2])
    written = format_decimal(float(amount), f"0.{'0' * digits}" if digits else "0", locale=reader().language)
    return f"{written} {_UNITS.get(reader().language, {}).get(unit, unit)}"


def written(value: object) -> str:
    """Return a value of a sentence: a number, a size or a time; anything else, such as a stored word, as it is."""
    if isinstance(value, Octets):
        return size(value)
    if isinstance(value, datetime):
        return when(value)
    return number(value) if type(value) is int else str(value)
