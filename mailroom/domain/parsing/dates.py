"""The Date header, as mailers write it: RFC 5322 section 3.3, its obsolete forms, asctime and ISO 8601."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

from mailroom.domain.parsing.limits import Defect, Reading
from mailroom.domain.parsing.words import decode_words

_LONGEST = 200
#: A date outside these years is wrong.
_FIRST_YEAR, _LAST_YEAR = 1900, 2200
#: By the first four letters of a name without marks, else by three: juin and juillet begin alike.
_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
    "fev": 2, "mrz": 3, "abr": 4, "avr": 4, "mai": 5, "mag": 5, "giu": 6, "lug": 7, "ago": 8, "set": 9, "okt": 10, "ott": 10, "dez": 12, "dic": 12, "ene": 1, "gen": 1,
    "juin": 6, "juil": 7, "aou": 8, "mae": 3, "maa": 3, "mrt": 3, "mei": 5, "maj": 5, "out": 10,
}  # fmt: skip
_COMMENT = re.compile(r"\([^()]*\)")
_CLOCK = (
    r"(?P<hour>\d{1,2})\s?[:.h]\s?(?P<minute>\d{1,2})(?:[:.](?P<second>\d{1,2})(?:[.,]\d{1,9})?)?\s{0,5}(?P<half>[ap]m\b)?"
    r"(?:\s{0,5}(?:uhr|h)\b)?"
)
_ZONE = r"\s{0,5}(?P<zone>(?:gmt|utc?)?\s?[+-](?:\d{1,2}:?\d{2}|\d{1,2})|[a-z]{1,5}(?![a-z]))?"
#: A word before the time, as in "um 10:00", "à 10:00", "kl. 10.00".
_AT = r"(?:(?:a(?:l{2}e| las)?|at|kl|om|um)\b\.?\s{1,5})?"
_FORMS = (
    # As C writes a time, with a zone behind it.
    re.compile(
        r"(?P<month>[a-z]{3}) {1,2}(?P<day>\d{1,2}) {1,2}" + _CLOCK + r" {1,2}(?P<year>\d{4}) (?P<zone>[+-]\d{4})"
    ),
    re.compile(
        r"(?P<day>\d{1,2})(?:er)?[\s.-]{1,5}(?:de\s{1,5})?(?P<month>[a-z]{3,4})[a-z]{0,6}\.?[\s,.-]{1,5}(?:de\s{1,5})?(?P<year>\d{2,4})[\s,T-]{1,5}"
        + _AT
        + _CLOCK
        + _ZONE
    ),
    re.compile(
        r"(?P<month>[a-z]{3,4})[a-z]{0,6}\.?\s{1,5}(?P<day>\d{1,2}),?\s{1,5}"
        + _CLOCK
        + r"\s{0,5}(?P<zone>[a-z]{3,5}\s|[+-]\d{4}\s)?\s{0,5}(?P<year>\d{4})"
    ),
    re.compile(
        r"(?P<month>[a-z]{3,4})[a-z]{0,6}\.?\s{1,5}(?P<day>\d{1,2}),?\s{1,5}(?P<year>\d{4}),?\s{1,5}"
        + _AT
        + _CLOCK
        + _ZONE
    ),
    re.compile(
        # With a.m. or p.m. after the time, the month comes first: only American dates have both.
        r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})[\s,]{1,5}(?=[\d:. ]{1,12}[ap]m\b)" + _CLOCK + _ZONE
    ),
    re.compile(r"(?P<year>\d{4})[-/](?P<month>\d{1,2})[-/](?P<day>\d{1,2})[t\s]{1,5}" + _CLOCK + _ZONE),
    # With full stops the day comes first everywhere. With slashes or hyphens only what cannot be a month says which is the day.
    re.compile(
        r"(?<!\d)(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.\s?(?P<year>\d{4}|\d{2})[\s,-]{1,5}" + _AT + _CLOCK + _ZONE
    ),
    re.compile(
        r"(?<!\d)(?P<day>1[3-9]|2\d|3[01])(?P<by>[/-])(?P<month>\d{1,2})(?P=by)(?P<year>\d{4})[\s,-]{1,5}"
        + _AT
        + _CLOCK
        + _ZONE
    ),
    re.compile(
        r"(?<!\d)(?P<month>\d{1,2})(?P<by>[/-])(?P<day>1[3-9]|2\d|3[01])(?P=by)(?P<year>\d{4})[\s,-]{1,5}"
        + _AT
        + _CLOCK
        + _ZONE
    ),
)
#: Hours east of Greenwich. The first rows are RFC 5322's; the others are seen in mail and mostly mean one zone.
_ZONES = {
    "ut": 0, "utc": 0, "gmt": 0, "z": 0, "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7,
    "wet": 0, "west": 1, "bst": 1, "cet": 1, "mez": 1, "cest": 2, "mesz": 2, "met": 1, "mest": 2, "eet": 2, "eest": 3, "msk": 3, "msd": 4,
    "jst": 9, "kst": 9, "hkt": 8, "sgt": 8, "awst": 8, "aest": 10, "aedt": 11, "nzst": 12, "nzdt": 13, "hst": -10, "akst": -9, "akdt": -8, "ast": -4, "adt": -3, "brt": -3,
}  # fmt: skip


#: As RFC 5322 section 3.3 writes it, and most programs.
_USUAL = re.compile(
    r"(?:[a-z]{3}, {1,2})?(\d{1,2}) ([a-z]{3}) (\d{4}) (\d\d):(\d\d):(\d\d) ([+-]\d{4})(?: \([a-z ]{1,30}\))?"
)


def read_date(value: bytes | None, *, reading: Reading) -> datetime | None:
    """Return the aware time of a Date header; UTC if it names no zone, or an unknown one."""
    if value is None:
        return None
    text = _folded(value[:_LONGEST])
    if (match := _USUAL.fullmatch(text)) and (moment := _usual(match)) is not None:
        return moment
    for written in (text, _COMMENT.sub(" ", text)):
        for form in _FORMS:
            match = form.search(written)
            moment = _moment(match) if match else None
            if moment is not None:
                return moment
    reading.note(Defect.DATE_UNREADABLE)
    return None


def _folded(value: bytes) -> str:
    """Return the text in lower case and without marks: `Déc.` is `dec.`."""
    if value.isascii() and b"=?" not in value:
        return value.decode("ascii").lower()
    text = decode_words(value, hint=None, reading=Reading()).lower()
    return "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))


def _usual(match: re.Match[str]) -> datetime | None:
    """Return the time of `_USUAL`; None for one that the other forms may still read."""
    day, name, year, hour, minute, second, zone = match.groups()
    try:
        moment = datetime(int(year), _MONTHS[name], int(day), int(hour), int(minute), int(second), tzinfo=_zone(zone))
    except (KeyError, ValueError, OverflowError):
        return None
    return moment if _FIRST_YEAR <= moment.year <= _LAST_YEAR else None


def _moment(match: re.Match[str]) -> datetime | None:
    parts = match.groupdict()
    name = parts["month"]
    month = _MONTHS.get(name) or _MONTHS.get(name[:3]) or (int(name) if name.isdigit() else 0)
    hour = int(parts["hour"])
    if parts["half"]:
        hour = hour % 12 + (12 if parts["half"] == "pm" else 0)
    minute, second = int(parts["minute"]), min(int(parts["second"] or 0), 59)
    # ISO 8601: 24:00:00 is the end of a day.
    midnight = (hour, minute, second) == (24, 0, 0)
    day = _year(parts["year"]), month, int(parts["day"])
    try:
        moment = datetime(*day, 0 if midnight else hour, minute, second, tzinfo=_zone(parts["zone"]))
        moment += timedelta(days=midnight)
    except (ValueError, OverflowError):
        return None
    return moment if _FIRST_YEAR <= moment.year <= _LAST_YEAR else None


def _year(digits: str) -> int:
    """RFC 5322 section 4.3: two digits from 50 on are of the last century, three digits count from 1900."""
    year = int(digits)
    if len(digits) == 2:
        return year + (2000 if year < 50 else 1900)
    return year + 1900 if len(digits) == 3 else year


@lru_cache(maxsize=256)
def _zone(name: str | None) -> timezone:
    text = re.sub(r"gmt|utc?|\s", "", name or "") if name and re.search(r"\d", name) else (name or "").strip()
    if text[:1] not in ("+", "-"):
        return timezone(timedelta(hours=_ZONES.get(text, 0)))
    digits = text[1:].replace(":", "")
    digits = f"{digits}00".zfill(4) if len(digits) < 3 else digits.zfill(4)
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset) if offset < timedelta(hours=24) else UTC
