"""The operations of a template and their cost in steps: filters, tests, comparisons, loops, and output of a value.

Data is JSON, so a value is a text, a number, true, false, null, a list or an object. An operation that takes time in
proportion to a value's size is charged for that size before it begins; one that can take more (sorting, searching,
stripping) is charged more.
"""

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from itertools import chain
from typing import Any, cast

from jinja2 import Environment, Undefined, pass_environment, pass_eval_context
from jinja2.filters import (
    FILTERS,
    do_default,
    do_join,
    do_round,
    do_trim,
    ignore_case,
    make_attrgetter,
    make_multi_attrgetter,
)
from jinja2.nodes import EvalContext
from jinja2.runtime import LoopContext
from jinja2.tests import TESTS

from mailroom.outbound.template_budget import BadValue, Unfit, spend, weight
from mailroom.outbound.template_data import Blank, is_blank
from mailroom.outbound.template_filters import FILTERS as READING_FILTERS
from mailroom.outbound.template_filters import LARGEST, MOST_PLACES, OUT_OF_BOUNDS

_FILTERS: Mapping[str, Callable[..., Any]] = cast(Any, FILTERS)
_TESTS: Mapping[str, Callable[..., Any]] = cast(Any, TESTS)

WRONG_TYPE = "a value has the wrong type for the template"
_MOST_JOINED = 1 << 20
#: A longer text is not blank.
_MOST_BLANK = 1_000
#: Characters in the time of one step: filtered, printed, searched, compared.
_FILTERED, _PRINTED, _SEARCHED, _COMPARED = 4, 32, 256, 1_024
#: Items of a list in the time of one step: visited one after the other, and compared while sorting.
_LOOKED_AT, _SORTED = 16, 8
#: A longer text is searched in time proportional to its length, a shorter one to both (CPython's `fastsearch.h`).
_TWO_WAY = 30_000


def counted(items: Iterable[Any], price: int) -> Iterator[Any]:
    """Yield the items, charging the price of the loop's body for each."""
    for item in items:
        spend(price)
        yield item


def printed(value: Any) -> Any:
    """Charge for writing this value into the mail, and return it."""
    if isinstance(value, str):
        if len(value) >= _SEARCHED:
            spend(len(value) // _SEARCHED)
    elif isinstance(value, (list, dict)) or (isinstance(value, int) and not -LARGEST <= value <= LARGEST):
        spend(weight(value, _PRINTED))
    return value


def plain(value: Any) -> Any:
    """Return a result of arithmetic without what binary fractions leave at its end: 0.1 + 0.2 is 0.3."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        raise BadValue(OUT_OF_BOUNDS)
    return float(f"{value:.15g}")


def looped(items: Any, price: int) -> Iterator[Any]:
    """Return the items of a loop, charged like `counted`."""
    try:
        return counted(iter(items), price)
    except TypeError:
        raise BadValue(f"`for`: {WRONG_TYPE}") from None


def _compared(compare: Callable[[Any, Any], Any], sign: str | None = None) -> Callable[[Any, Any], Any]:
    def paid(left: Any, right: Any) -> Any:
        if isinstance(left, str):
            if len(left) >= _COMPARED and isinstance(right, str):
                spend(min(len(left), len(right)) // _COMPARED)
        elif isinstance(left, (list, dict)) and isinstance(right, (list, dict)):
            # The comparison ends with the shorter one.
            spend(weight(left if len(left) <= len(right) else right, _COMPARED))
        try:
            return compare(left, right)
        except TypeError:
            raise BadValue(f"`{sign}`: {WRONG_TYPE}" if sign else WRONG_TYPE) from None

    return paid


def _within(item: Any, where: Any) -> bool:
    if isinstance(where, str) and isinstance(item, str):
        many, few = len(where), len(item)
        work = few * max(many - few, 0) if many < _TWO_WAY else 8 * many
        spend((many + work) // _SEARCHED)
    elif isinstance(where, list) and isinstance(item, (list, dict)):
        spend(weight(where, _COMPARED))
    elif isinstance(where, list):
        length = len(item) if isinstance(item, str) else 1
        spend(len(where) // _LOOKED_AT + len(where) * length // _COMPARED)
    return item in where


def _side(compare: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    paid = _compared(compare)
    return lambda side, other: paid(side.value, other.value)


class Compared:
    """One side of a comparison, charged when it is compared; Python's own chains (`a < b < c`) work with it."""

    __slots__ = ("value",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: Any) -> None:
        self.value = value

    __eq__, __ne__ = _side(operator.eq), _side(operator.ne)
    __lt__, __le__, __gt__, __ge__ = map(_side, (operator.lt, operator.le, operator.gt, operator.ge))

    def __contains__(self, other: "Compared") -> bool:
        return _within(other.value, self.value)


def _number(value: Any) -> Any:
    """Return a number or an undefined value unchanged; other types fail, as `%` and `*` mean something else for text."""
    if not isinstance(value, (int, float, Undefined)):
        raise TypeError("not a number")
    if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
        spend(weight(value, _FILTERED))
    return value


def _divisible_by(value: Any, num: Any) -> bool:
    return bool(_number(value) % _number(num) == 0)


def _free(_: Any) -> int:
    return 0


def _shallow(value: Any) -> int:
    if isinstance(value, (list, dict)):
        return len(value)
    return _alone(value)


def _deep(value: Any) -> int:
    if isinstance(value, (list, dict)):
        return weight(value, _FILTERED)
    return _alone(value)


def _alone(value: Any) -> int:
    if isinstance(value, str):
        return len(value) // _FILTERED
    if isinstance(value, int):
        return value.bit_length() // 64
    if isinstance(value, LoopContext):
        raise TypeError("a loop is no value")
    return 0


def _paid(name: str, work: Callable[..., Any], price: Callable[[Any], int]) -> Callable[..., Any]:
    """Return the filter or test, charged for all of its arguments; a value of another type than it takes is a fault with its name."""

    @wraps(work)
    def paid(*given: Any, **named: Any) -> Any:
        try:
            if steps := sum(map(price, chain(given, named.values()))):
                spend(steps)
            return work(*given, **named)
        except (TypeError, AttributeError):
            for one in given:
                if isinstance(one, Undefined):
                    str(one)
            raise BadValue(f"`{name}`: {WRONG_TYPE}") from None

    return paid


OFFERED_TESTS: dict[str, Callable[..., Any]] = {
    **{name: _TESTS[name] for name in ("boolean", "defined", "mapping", "number", "sequence", "string", "undefined")},
    "none": lambda value: value is None or isinstance(value, Blank),
    **{
        name: _compared(getattr(operator, name), sign)
        for name, sign in {"eq": "==", "ge": ">=", "gt": ">", "le": "<=", "lt": "<", "ne": "!="}.items()
    },
    "divisibleby": _paid("divisibleby", _divisible_by, _free),
    "even": _paid("even", lambda value: _divisible_by(value, 2), _free),
    "in": _paid("in", _within, _free),
    "odd": _paid("odd", lambda value: _number(value) % 2 == 1, _free),
}


@pass_eval_context
def _join(context: EvalContext, value: Iterable[Any], d: str = "") -> str:
    items = [str(printed(item)) for item in counted(value, 1)]
    length = sum(map(len, items)) + len(d) * len(items)
    if length > _MOST_JOINED:
        raise Unfit("the mail is too long with this data")
    spend(length // _FILTERED)
    joined: str = do_join(context, value, d)
    return joined


@pass_environment
def _sort(
    environment: Environment, value: Any, reverse: bool = False, case_sensitive: bool = False, attribute: Any = None
) -> list[Any]:
    items = list(value)
    spend(len(items) * _parts(attribute))
    key = make_multi_attrgetter(environment, attribute, None if case_sensitive else ignore_case)
    keys: list[Any] = [key(item) for item in items]
    steps = weight(keys, _SEARCHED)
    spend(steps + steps * len(items).bit_length() // _SORTED)
    return [items[at] for at in sorted(range(len(items)), key=keys.__getitem__, reverse=reverse)]


@pass_environment
def _sum(environment: Environment, iterable: Any, attribute: Any = None, start: Any = 0) -> Any:
    items = list(iterable)
    spend(len(items) * _parts(attribute))
    value = make_attrgetter(environment, attribute)
    return plain(sum((_number(value(item)) for item in items), _number(start)))


def _parts(attribute: Any) -> int:
    return 1 + (attribute.count(",") + attribute.count(".") if isinstance(attribute, str) else 0)


def _round(value: Any, precision: int = 0, method: Any = "common") -> float:
    if abs(precision) > MOST_PLACES:
        raise BadValue(f"`round`: {OUT_OF_BOUNDS}")
    return do_round(_number(value), precision, method)


def _default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    """Return the default also for a text that shows nothing: a form sends one for a field that was left empty."""
    empty = isinstance(value, str) and len(value) <= _MOST_BLANK and is_blank(value)
    return default_value if empty else do_default(value, default_value, boolean)


def _trim(value: Any, chars: str | None = None) -> str:
    text = value if isinstance(value, str) else str(value)
    if chars is not None:
        spend(len(text) * len(chars) // _SEARCHED)
    return do_trim(text, chars)


OFFERED_FILTERS: dict[str, Callable[..., Any]] = {
    **{name: _paid(name, _FILTERS[name], _shallow) for name in ("count", "first", "last", "length")},
    **{name: _paid(name, _default, _shallow) for name in ("d", "default")},
    **{
        name: _paid(name, _FILTERS[name], _deep)
        for name in ("abs", "capitalize", "e", "escape", "lower", "title", "upper", "urlencode")
    },
    **{name: _paid(name, work, _deep) for name, work in READING_FILTERS.items()},
    "join": _paid("join", _join, _deep),
    "round": _paid("round", _round, _deep),
    "sort": _paid("sort", _sort, _shallow),
    "sum": _paid("sum", _sum, _shallow),
    "trim": _paid("trim", _trim, _deep),
}
