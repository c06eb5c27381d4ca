"""A recurrence rule (RFC 5545 section 3.3.10) in words: "every 2 weeks on Monday and Friday, until 24 Dec 2026"."""

import re
from calendar import day_name, month_name
from collections.abc import Callable, Mapping, Sequence
from datetime import date

from mailroom.domain.parsing.zones import WEEKDAYS, rule_parts

_UNITS = {
    "SECONDLY": "second", "MINUTELY": "minute", "HOURLY": "hour", "DAILY": "day", "WEEKLY": "week", "MONTHLY": "month", "YEARLY": "year",
}  # fmt: skip
_PLACES = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", -1: "last", -2: "last but one"}
_UNTIL = re.compile(r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})")
_BYDAY = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_WORKDAYS = WEEKDAYS[:5]
_KNOWN = frozenset({"FREQ", "INTERVAL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "COUNT", "UNTIL", "WKST"})
_LONGEST = 300


def recurrence_in_words(rule: str | None, *, added: int = 0, excluded: int = 0) -> str | None:
    """Return how an entry repeats; `added` and `excluded` are the numbers of RDATE and EXDATE. None if it does not repeat.

    A rule that has no words here is given as it is written.
    """
    parts = rule_parts(rule) if rule else {}
    words = []
    if parts:
        words.append(_in_words(parts) or f"by the rule {(rule or '')[:_LONGEST]}")
    if added:
        words.append(f"{'and ' if words else ''}on {added} more date{'s' if added != 1 else ''}")
    if words and excluded:
        words.append(f"except on {excluded} date{'s' if excluded != 1 else ''}")
    return ", ".join(words) or None


def _in_words(parts: Mapping[str, str]) -> str | None:
    unit = _UNITS.get(parts.get("FREQ", ""))
    if unit is None or not parts.keys() <= _KNOWN:
        return None
    try:
        every = _number(parts.get("INTERVAL", "1"))
        head = f"every {unit}" if every == 1 else f"every {every} {unit}s"
        return ", ".join([" ".join([head, *_on(parts)]), *_end(parts)])
    except (ValueError, LookupError):
        return None


def _on(parts: Mapping[str, str]) -> list[str]:
    """Return which days and months, as far as the rule names them."""
    months = _list(parts.get("BYMONTH"), lambda text: month_name[_number(text, most=12)])
    days = _list(parts.get("BYMONTHDAY"), _day_of_month)
    if "BYDAY" in parts:
        weekdays = [_weekday(text) for text in parts["BYDAY"].split(",")]
        at = [_place(text) for text in parts["BYSETPOS"].split(",")] if "BYSETPOS" in parts else []
        on = [f"{_of_week(weekdays, at, weekly=parts['FREQ'] in ('WEEKLY', 'DAILY'))}"]
        on += [f"that is {_and(days)} of the month"] if days else []
        return on + ([f"in {_and(months)}"] if months else [])
    if "BYSETPOS" in parts:
        raise ValueError("a position in no list")
    if days and len(days) == len(months) == 1 and days[0].startswith("day "):
        return [f"on {days[0].removeprefix('day ')} {months[0]}"]
    return ([f"on {_and(days)}"] if days else []) + ([f"in {_and(months)}"] if months else [])


def _of_week(weekdays: Sequence[tuple[int | None, str]], at: Sequence[str], *, weekly: bool) -> str:
    names = [day for _, day in weekdays]
    if at:
        return f"on the {_and(at)} {_any_of(names)}"
    if any(number for number, _ in weekdays):
        return f"on {_and([_nth(number, day) for number, day in weekdays])}"
    if sorted(names) == sorted(_WORKDAYS):
        return "from Monday to Friday"
    return f"on {_and([_name(day) if weekly else f'every {_name(day)}' for day in names])}"


def _nth(number: int | None, day: str) -> str:
    return f"the {_place(str(number))} {_name(day)}" if number else f"every {_name(day)}"


def _any_of(names: Sequence[str]) -> str:
    if sorted(names) == sorted(_WORKDAYS):
        return "weekday (Monday to Friday)"
    return "day" if sorted(names) == sorted(WEEKDAYS) else " or ".join(_name(day) for day in names)


def _end(parts: Mapping[str, str]) -> list[str]:
    end = []
    if "COUNT" in parts:
        count = _number(parts["COUNT"])
        end.append(f"{count} time{'s' if count != 1 else ''}")
    if "UNTIL" in parts:
        until = _UNTIL.match(parts["UNTIL"])
        if until is None:
            raise ValueError("not a date")
        day = date(int(until[1]), int(until[2]), int(until[3]))
        end.append(f"until {day.day} {day:%b} {day.year}")
    return end


def _weekday(text: str) -> tuple[int | None, str]:
    match = _BYDAY.fullmatch(text.strip())
    if match is None:
        raise ValueError("not a weekday")
    return int(match[1]) if match[1] else None, match[2]


def _day_of_month(text: str) -> str:
    number = text.strip().removeprefix("+")
    return f"day {_number(number, most=31)}" if not number.startswith("-") else f"the {_place(number)} day"


def _place(text: str) -> str:
    return _PLACES[int(text)]


def _number(text: str, *, most: int = 9_999) -> int:
    number = int(text) if len(text) < 6 else 0
    if not 1 <= number <= most:
        raise ValueError("out of range")
    return number


def _name(day: str) -> str:
    return day_name[WEEKDAYS.index(day)]


def _list(text: str | None, word: Callable[[str], str]) -> list[str]:
    return [word(one) for one in text.split(",")] if text else []


def _and(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
