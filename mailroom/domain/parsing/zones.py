"""Times of calendars, and the moments that they mean: by the zone's name, or by the rules that the calendar carries.

A zone's name counts first, as in the calendars of Google and Apple: that of the IANA database, alone or at the end of a
path, or that of Windows, mapped by CLDR. Then the calendar's own VTIMEZONE (RFC 5545 section 3.6.5), as far as its rules
are the yearly ones that occur in mail. Otherwise the moment is unknown, and the zone is shown by its name.
"""

import calendar as month_calendar
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from babel.core import get_global

from mailroom.domain.mail.carried import CalendarTime
from mailroom.domain.parsing.calendars import Properties, Property

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")

_TIME = re.compile(
    r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})(?:[T ]([0-9]{2}):?([0-9]{2})(?::?([0-9]{2}))?(?:[.,][0-9]{1,9})?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})(?:[0-9]{2})?")
_IANA = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,30}(?:/[A-Za-z0-9_+-]{1,30}){0,2}")
_BYDAY = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_LONGEST = 100
_PARTS_OF_RULES = frozenset({"FREQ", "INTERVAL", "BYMONTH", "BYDAY", "BYMONTHDAY", "UNTIL", "WKST"})

Zones = Mapping[str, Sequence[Properties]]


def calendar_time(found: Property | None, zones: Zones) -> CalendarTime | None:
    """Return the time of a property such as DTSTART; None if it has none."""
    written = found.value.strip()[:_LONGEST] if found else ""
    if found is None or not any(sign.isprintable() and not sign.isspace() for sign in written):
        return None
    read = _read(written)
    if read is None:
        return CalendarTime(written, found.zone)
    day, offset = read
    if not isinstance(day, datetime):
        return CalendarTime(day.isoformat())
    if offset:
        return CalendarTime(day.isoformat(), "UTC" if offset == "Z" else offset, _utc(day, _offset(offset)))
    return CalendarTime(day.isoformat(), found.zone, _moment(day, found.zone, zones))


def plus(time: CalendarTime, duration: timedelta, zones: Zones) -> CalendarTime | None:
    """Return the time `duration` after `time`; None if that cannot be calculated."""
    try:
        if len(time.local) == len("2025-12-01"):
            return CalendarTime((date.fromisoformat(time.local) + duration).isoformat())
        local = datetime.fromisoformat(time.local) + duration
        at = time.at + duration if time.at else None
    except (ValueError, OverflowError):
        return None
    return CalendarTime(local.isoformat(), time.zone, at)


def rule_parts(rule: str) -> dict[str, str]:
    """Return the parts of a recurrence rule by upper-case name."""
    pieces = (piece.partition("=") for piece in rule[:1_000].upper().split(";"))
    return {name.strip(): value.strip() for name, _, value in pieces if value}


def _read(written: str) -> tuple[date, str | None] | None:
    """Return a day or a local time, and the offset from UTC if there is one; None if it is no date."""
    match = _TIME.fullmatch(written.upper())
    if match is None:
        return None
    day, clock = (int(match[1]), int(match[2]), int(match[3])), match[4]
    try:
        if clock is None:
            return date(*day), None
        return datetime(*day, int(clock), int(match[5]), min(int(match[6] or 0), 59)), match[7]  # noqa: DTZ001 - local
    except ValueError:
        return None


def _moment(local: datetime, name: str | None, zones: Zones) -> datetime | None:
    if not name:
        return None
    zone = _by_name(name)
    return _utc(local, zone if zone is not None else _by_rules(local, zones.get(name, ())))


def _utc(local: datetime, zone: tzinfo | None) -> datetime | None:
    try:
        return local.replace(tzinfo=zone).astimezone(UTC) if zone else None
    except (OverflowError, ValueError):
        return None


def _by_name(name: str) -> tzinfo | None:
    """Return a zone of the IANA database by its name, by the end of a path (`/example.org/Europe/Berlin`), or by Windows' name."""
    if name.lower() in ("utc", "z", "tzone://microsoft/utc"):
        return UTC
    mapped = get_global("windows_zone_mapping").get(name)
    pieces = name.strip("/").split("/")
    ends = ["/".join(pieces[-count:]) for count in (3, 2) if count <= len(pieces)]
    for key in [mapped] if mapped else [name, *ends]:
        if _IANA.fullmatch(key):
            try:
                return ZoneInfo(key)
            except (KeyError, ValueError, OSError):
                continue
    return None


def _by_rules(local: datetime, observances: Sequence[Properties]) -> tzinfo | None:
    """Return the offset of the observance that began last before `local`; None where one's rules are not understood."""
    begun: list[tuple[datetime, tzinfo]] = []
    for one in observances:
        offset, starts = _offset(one.text("tzoffsetto") or ""), _onsets(one, local)
        if offset is None or starts is None:
            return None
        begun += [(start, offset) for start in starts if start <= local]
    return max(begun, key=lambda onset: onset[0])[1] if begun else None


def _onsets(observance: Properties, local: datetime) -> list[datetime] | None:
    """Return when an observance began: by its rule in the years of `local` and before, else on its dates."""
    written = [observance.first("dtstart"), *observance.values.get("rdate", ())]
    read = [_read(one.value.strip()[:_LONGEST]) for one in written if one]
    times = [one[0] for one in read if one and isinstance(one[0], datetime)]
    rule = observance.text("rrule")
    if not times or rule is None:
        return times or None
    parts = rule_parts(rule)
    if parts.get("FREQ") != "YEARLY" or parts.get("INTERVAL", "1") != "1" or not parts.keys() <= _PARTS_OF_RULES:
        return None
    until = _read(parts.get("UNTIL", "99991231"))
    last = until[0] if until else date.max
    years = dict.fromkeys((local.year, local.year - 1, last.year, last.year - 1))
    days = [day for year in years for day in _days(year, times[0], parts)]
    starts = [datetime.combine(day, times[0].time()) for day in days if day <= date(last.year, last.month, last.day)]
    return [start for start in starts if start >= times[0]] or times[:1]


def _days(year: int, first: datetime, parts: Mapping[str, str]) -> Iterator[date]:
    """Yield the days of a yearly rule in one year, as far as it names one month."""
    by_month, by_day = parts.get("BYMONTH", str(first.month)), _BYDAY.fullmatch(parts.get("BYDAY", ""))
    month = int(by_month) if by_month.isascii() and by_month.isdigit() and len(by_month) < 3 else 0
    if not (1 <= month <= 12 and 1 <= year <= 9999) or (by_day is None and "BYDAY" in parts):
        return
    days = [date(year, month, day) for day in range(1, month_calendar.monthrange(year, month)[1] + 1)]
    if "BYMONTHDAY" in parts:
        wanted = parts["BYMONTHDAY"].split(",")
        days = [day for day in days if str(day.day) in wanted]
    elif by_day is None:
        days = [day for day in days if day.day == first.day]
    if by_day:
        days = [day for day in days if day.weekday() == WEEKDAYS.index(by_day[2])]
        number = int(by_day[1] or 0)
        days = days[number - 1 : number] if number > 0 else days[number : number + 1 or None] if number else days[:1]
    yield from days


def _offset(written: str) -> tzinfo | None:
    if written == "Z":
        return UTC
    match = _OFFSET.fullmatch(written)
    if match is None or int(match[2]) > 23 or int(match[3]) > 59:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset)
