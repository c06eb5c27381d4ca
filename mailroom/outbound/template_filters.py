"""Filters that read numbers and dates, and write them for people: `float`, `int`, `money`, `number`, `date`.

A number is one of JSON, or a text in plain form: `-1234.5`, no thousands separators, no currency, a decimal point. A date is
ISO 8601: `2026-11-29`, or with a time `2026-11-29T08:00:00Z`. Anything else is a fault with the filter's place, never 0: a mail
with a wrong sum cannot be taken back. Halves are rounded away from zero, as in trade.

The language is the filter's `locale`, else the recipient's own `locale` in the data, else English; `zone` likewise. Formats
are those of Unicode's CLDR, by Babel.
"""

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from babel import Locale, UnknownLocaleError
from babel.core import get_global
from babel.dates import format_date
from babel.numbers import NumberPattern, format_currency, get_currency_precision, get_group_symbol, parse_pattern
from jinja2 import Undefined, pass_context
from jinja2.runtime import Context

from mailroom.outbound.template_budget import BadValue, spend
from mailroom.outbound.template_data import Blank, is_blank

#: The largest number: enough for sums of money; with unlimited digits, one multiplication takes minutes.
LARGEST = 10**15
#: Decimal places that a number is rounded to at most.
MOST_PLACES = 10
OUT_OF_BOUNDS = "number or precision too large, or not a number"
#: Steps of one call, at half a microsecond each; `tests/unit/test_template_filters.py` measures them.
MONEY, NUMBER, DATE = 45, 25, 28
#: Languages of Europe, and the largest of others, each with its countries. With all of CLDR a template could make Babel hold
#: 200 MB for the life of the process; these are 90 MB.
_LANGUAGES = frozenset(
    {
        "ar", "be", "bg", "bn", "bs", "ca", "cs", "cy", "da", "de", "el", "en", "es", "et", "eu", "fa", "fi", "fr", "ga", "gl",
        "he", "hi", "hr", "hu", "id", "is", "it", "ja", "ko", "lb", "lt", "lv", "mk", "ms", "mt", "nb", "nl", "nn", "no", "pl",
        "pt", "ro", "ru", "sk", "sl", "sq", "sr", "sv", "ta", "th", "tr", "uk", "vi", "zh",
    }
)  # fmt: skip
#: Python parses no longer decimal number.
_MOST_DIGITS = 4_300
_MOST_WRITTEN = 64
_NO_DEFAULT: Any = object()
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)")
_WHOLE = re.compile(r"[+-]?[0-9A-Za-z]+")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})?"
)
_APOSTROPHE, _WHOLE_PART = "'", re.compile(r"[0-9']{7,}")
_STYLES = ("short", "medium", "long", "full")
_PLAIN_NUMBER = "is not a plain number; write 1234.5, with a decimal point, without thousands separators or currency"
_CURRENCY = 'needs a currency; write its ISO 4217 code, such as money("EUR")'
_ISO_DATE = "is not an ISO date; write 2026-11-29 or 2026-11-29T08:00:00Z"


def to_float(value: Any, default: Any = _NO_DEFAULT, *, of: str | None = None) -> Any:
    """Return a number as a float; for what cannot be read `default`, where one is given."""
    try:
        if isinstance(value, (int, float)):
            return float(value)
        return float(_decimal(value))
    except (ValueError, OverflowError, Unread):
        return _instead(value, default, of, _PLAIN_NUMBER)


def to_int(value: Any, default: Any = _NO_DEFAULT, base: int = 10, *, of: str | None = None) -> Any:
    """Return a number without its fraction, or the whole number that a text writes; else `default`, where one is given."""
    try:
        if isinstance(value, (int, float)):
            return int(value)
        text = _text(value, _MOST_DIGITS)
        if not _WHOLE.fullmatch(text):
            raise Unread
        return int(text, base)
    except (ValueError, OverflowError, Unread):
        return _instead(value, default, of, "is not a whole number; write 1234, or use `float` or `number`")


@pass_context
def money(context: Context, value: Any, currency: Any = None, locale: Any = None, *, of: str | None = None) -> str:
    """Return an amount with its currency and that currency's decimal places, as the locale writes it."""
    spend(MONEY)
    amount = _read(value, of)
    code = _code(currency, of)
    rounded = _rounded(amount, get_currency_precision(code))
    known = _locale(context, locale, of)
    return _with_apostrophes(format_currency(rounded, code, locale=known), rounded, known)


@pass_context
def number(context: Context, value: Any, places: Any = None, locale: Any = None, *, of: str | None = None) -> str:
    """Return a number as the locale writes it: with `places` decimal places, or with those that it has."""
    spend(NUMBER)
    read = _read(value, of)
    if places is not None and not (_is_int(places) and 0 <= places <= MOST_PLACES):
        raise BadValue(f"{_named(of)} needs 0 to {MOST_PLACES} decimal places")
    known = _locale(context, locale, of)
    rounded = _rounded(read, MOST_PLACES if places is None else places)
    return _with_apostrophes(_pattern(known, places).apply(rounded, known), rounded, known)


@pass_context
def formatted_date(
    context: Context,
    value: Any,
    style: Any = "medium",
    locale: Any = None,
    zone: Any = None,
    *,
    of: str | None = None,
) -> str:
    """Return the date of an ISO date or time, as the locale writes it; a time is converted to `zone` first."""
    spend(DATE)
    text = _written(value, of, _ISO_DATE)
    if style not in _STYLES:
        raise BadValue(f"{_named(of)} has no style of this name; use short, medium, long or full")
    try:
        day = date.fromisoformat(text) if _DATE.fullmatch(text) else _day_in(context, text, zone, of)
    except BadValue:
        raise
    except (ValueError, OverflowError):
        raise BadValue(f"{_named(of)} {_ISO_DATE}") from None
    return format_date(day, style, locale=_locale(context, locale, of))


FILTERS: dict[str, Callable[..., Any]] = {
    "date": formatted_date, "float": to_float, "int": to_int, "money": money, "number": number,
}  # fmt: skip


class Unread(Exception):
    """A value is no number in plain form."""


def _instead(value: Any, default: Any, of: str | None, what: str) -> Any:
    """Return the default where one is given; without it the value is a fault."""
    if default is not _NO_DEFAULT and not (isinstance(value, Undefined) and not isinstance(value, Blank)):
        return default
    if isinstance(value, Undefined):
        str(value)
    raise BadValue(f"{_named(of)} {what}") from None


def _named(of: str | None) -> str:
    return f"`{of}`" if of else "a value"


def _text(value: Any, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise Unread
    return value.strip()


def _decimal(value: Any) -> Decimal:
    text = _text(value, _MOST_WRITTEN)
    if not _NUMBER.fullmatch(text):
        raise Unread
    return Decimal(text)


def _read(value: Any, of: str | None) -> Decimal:
    """Return the number that is to be written for people: true and false are none."""
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            # A large int is not spelt: that takes time in proportion to the square of its digits.
            read = Decimal(repr(value)) if -LARGEST <= value <= LARGEST else Decimal("Infinity")
        elif isinstance(value, Undefined):
            read = Decimal(str(value))
        else:
            read = _decimal(value)
    except (Unread, ArithmeticError):
        raise BadValue(f"{_named(of)} {_PLAIN_NUMBER}") from None
    if not abs(read) <= LARGEST:
        raise BadValue(f"{_named(of)}: {OUT_OF_BOUNDS}")
    return read


def _rounded(value: Decimal, places: int) -> Decimal:
    # The sum with 0 drops the sign of a zero: -0.00 is no amount.
    return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP) + 0


def _with_apostrophes(text: str, value: Decimal, locale: Locale) -> str:
    """Return the text with the thousands separators of Switzerland, which Babel 2.19 takes for quotes where there are two."""
    if abs(value) < 10**6 or get_group_symbol(locale) != "'":
        return text
    return _WHOLE_PART.sub(lambda found: f"{int(found[0].replace(_APOSTROPHE, '')):,}".replace(",", "'"), text, count=1)


def _written(value: Any, of: str | None, what: str) -> str:
    if isinstance(value, Undefined):
        return str(value)
    try:
        return _text(value, _MOST_WRITTEN)
    except Unread:
        raise BadValue(f"{_named(of)} {what}") from None


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _code(currency: Any, of: str | None) -> str:
    code = "" if currency is None else _written(currency, of, _CURRENCY).upper()
    if code not in get_global("all_currencies"):
        raise BadValue(f"{_named(of)} {_CURRENCY}")
    return code


def _given(context: Context, value: Any, name: str) -> Any:
    """Return what the filter was given, else what the recipient's data says under this name, or None."""
    for one in (value, context.resolve(name)):
        if one is not None and not isinstance(one, Undefined) and not (isinstance(one, str) and is_blank(one)):
            return one
    if isinstance(value, Undefined) and not isinstance(value, Blank):
        str(value)
    return None


def _locale(context: Context, value: Any, of: str | None) -> Locale:
    given = _given(context, value, "locale")
    if given is None:
        return _known_locale("en")
    try:
        return _known_locale(_text(given, _MOST_WRITTEN))
    except (ValueError, UnknownLocaleError, Unread):
        raise BadValue(f"{_named(of)} has an unknown locale; use one such as en, de or fr-CH") from None


@lru_cache(maxsize=256)
def _known_locale(written: str) -> Locale:
    locale = Locale.parse(written.replace("-", "_"))
    if locale.language not in _LANGUAGES:
        raise ValueError("unknown language")
    return locale


def _day_in(context: Context, text: str, zone: Any, of: str | None) -> date:
    if not _MOMENT.fullmatch(text):
        raise ValueError("not a time")
    moment = datetime.fromisoformat(text.upper())
    given = _given(context, zone, "zone")
    if given is None:
        return moment.date()
    if moment.tzinfo is None:
        raise BadValue(f"{_named(of)} needs a time with its offset; write 2026-11-29T08:00:00Z or +01:00")
    try:
        return moment.astimezone(_known_zone(_text(given, _MOST_WRITTEN))).date()
    except (LookupError, Unread):
        raise BadValue(f"{_named(of)} has an unknown zone; use one such as Europe/Paris or UTC") from None


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


@lru_cache(maxsize=1_024)
def _known_zone(written: str) -> ZoneInfo:
    if written not in _zones():
        raise LookupError("unknown zone")
    return ZoneInfo(written)


@lru_cache(maxsize=1_024)
def _pattern(locale: Locale, places: int | None) -> NumberPattern:
    """Return the locale's pattern of numbers with this number of decimal places; for None, with the number's own."""
    whole = locale.decimal_formats[None].pattern.split(".")[0]
    fraction = "#" * MOST_PLACES if places is None else "0" * places
    return parse_pattern(f"{whole}.{fraction}" if fraction else whole)
