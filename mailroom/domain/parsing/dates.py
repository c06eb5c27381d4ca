"""The Date header, as mailers write it: RFC 5322 section 3.3, its obsolete forms, asctime and ISO 8601."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone

from mailroom.domain.parsing.limits import Defect, Reading

_LONGEST = 200
#: A date outside these years is wrong.
_FIRST_YEAR, _LAST_YEAR = 1900, 2200
#: Months by their first letters without accents, in the languages of Western Europe; `jui` alone could be two.
_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
    "fev": 2, "mrz": 3, "abr": 4, "avr": 4, "mai": 5, "mag": 5, "giu": 6, "lug": 7, "ago": 8, "set": 9, "okt": 10, "ott": 10, "dez": 12, "dic": 12, "ene": 1, "gen": 1,
    "juin": 6, "juil": 7, "aou": 8, "mae": 3, "maa": 3, "mrt": 3, "mei": 5, "maj": 5, "out": 10, "des": 12,
}  # fmt: skip
_COMMENT = re.compile(r"\([^()]*\)")
_CLOCK = (
    r"(?P<hour>\d{1,2})[:.](?P<minute>\d{1,2})(?:[:.](?P<second>\d{1,2})(?:[.,]\d{1,9})?)?\s{0,5}(?P<half>[ap]m\b)?"
)
_ZONE = r"\s{0,5}(?P<zone>(?:gmt|utc?)?\s?[+-]\d{1,2}:?\d{2}|[a-z]{1,5}(?![a-z]))?"
_FORMS = (
    re.compile(
        r"(?P<day>\d{1,2})[\s.-]{1,5}(?:de\s)?(?P<month>[a-z]{3,12})\.?(?:\sde)?[\s,.-]{1,5}(?P<year>\d{2,4})[\s,T]{1,5}"
        + _CLOCK
        + _ZONE
    ),
    re.compile(
        r"(?P<month>[a-z]{3,12})\.?\s{1,5}(?P<day>\d{1,2}),?\s{1,5}"
        + _CLOCK
        + r"\s{0,5}(?P<zone>[a-z]{3,5}\s|[+-]\d{4}\s)?\s{0,5}(?P<year>\d{4})(?P<zone_after>\s[+-]\d{4})?"
    ),
    re.compile(r"(?P<month>[a-z]{3,12})\.?\s{1,5}(?P<day>\d{1,2}),?\s{1,5}(?P<year>\d{4}),?\s{1,5}" + _CLOCK + _ZONE),
    re.compile(
        # With a.m. or p.m. after the time, the month comes first: only American dates have both.
        r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})[\s,]{1,5}(?=[\d:. ]{1,12}[ap]m\b)" + _CLOCK + _ZONE
    ),
    re.compile(r"(?<!\d)(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.\s?(?P<year>\d{4})[\s,]{1,5}" + _CLOCK + _ZONE),
    # Between slashes and hyphens the order is known only if one of the two is no month.
    re.compile(r"(?<!\d)(?P<day>1[3-9]|2\d|3[01])[/-](?P<month>\d{1,2})[/-](?P<year>\d{4})[\s,]{1,5}" + _CLOCK + _ZONE),
    re.compile(r"(?<!\d)(?P<month>\d{1,2})[/-](?P<day>1[3-9]|2\d|3[01])[/-](?P<year>\d{4})[\s,]{1,5}" + _CLOCK + _ZONE),
    re.compile(r"(?P<year>\d{4})[-/](?P<month>\d{1,2})[-/](?P<day>\d{1,2})[t\s]{1,5}" + _CLOCK + _ZONE),
)
#: Hours east of Greenwich. The first rows are RFC 5322's; the others are seen in mail and mostly mean one zone.
_ZONES = {
    "ut": 0, "utc": 0, "gmt": 0, "z": 0, "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7,
    "wet": 0, "west": 1, "bst": 1, "cet": 1, "mez": 1, "cest": 2, "mesz": 2, "met": 1, "mest": 2, "eet": 2, "eest": 3, "msk": 3, "msd": 4,
    "jst": 9, "kst": 9, "hkt": 8, "sgt": 8, "awst": 8, "aest": 10, "aedt": 11, "nzst": 12, "nzdt": 13, "hst": -10, "akst": -9, "akdt": -8, "ast": -4, "adt": -3, "brt": -3,
}  # fmt: skip


def read_date(value: bytes | None, *, reading: Reading) -> datetime | None:
    """Return the aware time of a Date header; UTC if it names no zone, or an unknown one."""
    if value is None:
        return None
    text = _plain_letters(value[:_LONGEST])
    for written in (text, _COMMENT.sub(" ", text)):
        for form in _FORMS:
            match = form.search(written)
            moment = _moment(match) if match else None
            if moment is not None:
                return moment
    reading.note(Defect.DATE_UNREADABLE)
    return None


def _plain_letters(value: bytes) -> str:
    """Return a date in lower case without accents, which months have in French and German."""
    if value.isascii():
        return value.decode("ascii").lower()
    try:
        text = value.decode("utf-8")
    except UnicodeError:
        text = value.decode("latin-1")
    return "".join(char for char in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(char))


def _moment(match: re.Match[str]) -> datetime | None:
    parts = match.groupdict()
    hour, minute, second = int(parts["hour"]), int(parts["minute"]), int(parts["second"] or 0)
    # ISO 8601's end of a day.
    ends_day = (hour, minute, second) == (24, 0, 0)
    if parts["half"]:
        hour = hour % 12 + (12 if parts["half"] == "pm" else 0)
    try:
        moment = datetime(
            _year(parts["year"]),
            _month(parts["month"]),
            int(parts["day"]),
            0 if ends_day else hour,
            minute,
            min(second, 59),
            tzinfo=_zone(parts["zone"] or parts.get("zone_after")),
        )
    except ValueError:
        return None
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        return None
    return moment + timedelta(days=1) if ends_day else moment


def _month(written: str) -> int:
    """Return the number of a month, or 0 if it is none."""
    if written.isdigit():
        return int(written)
    return _MONTHS.get(written[:4]) or _MONTHS.get(written[:3], 0)


def _year(digits: str) -> int:
    """RFC 5322 section 4.3: two digits from 50 on are of the last century, three digits count from 1900."""
    year = int(digits)
    if len(digits) == 2:
        return year + (2000 if year < 50 else 1900)
    return year + 1900 if len(digits) == 3 else year


def _zone(name: str | None) -> timezone:
    text = re.sub(r"gmt|utc?|\s", "", name or "") if name and re.search(r"\d", name) else (name or "").strip()
    if text[:1] not in ("+", "-"):
        return timezone(timedelta(hours=_ZONES.get(text, 0)))
    digits = text[1:].replace(":", "").zfill(4)
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset) if offset < timedelta(hours=24) else UTC
