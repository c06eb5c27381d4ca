"""Short times of lists, in the reader's language: today 04:47, yesterday 18:02, Tue 09:12, 12 Nov, 12 Nov 2025."""

from datetime import UTC, datetime, tzinfo

from babel.dates import format_date

from mailroom.api.pages.reader import reader
from mailroom.api.pages.translations import gettext

#: The most days ago of a time that is shown by its weekday: on the seventh it would be today's.
_WEEK = 6


def short_time(time: datetime, *, now: datetime, zone: tzinfo = UTC) -> str:
    """Return a time for a list, by the calendar of `zone`, as `mailroom.domain.readable.short_time` in English."""
    moment, present = time.astimezone(zone), now.astimezone(zone)
    language, days = reader().language, (present.date() - moment.date()).days
    clock = f"{moment:%H:%M}"
    if days == 0:
        return gettext("today %(time)s", time=clock)
    if days == 1:
        return gettext("yesterday %(time)s", time=clock)
    if 0 <= days <= _WEEK:
        return f"{format_date(moment, 'EEE', locale=language)} {clock}"
    pattern = "d. MMM" if language == "de" else "d MMM"
    return format_date(moment, pattern if moment.year == present.year else f"{pattern} y", locale=language)
