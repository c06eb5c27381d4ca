"""Parses a batch from its JSON one message at a time: 100,000 as objects at once would take ten times their bytes.

    the body ── cut at the commas of `messages` and `recipients` ──> the rest, and the position of each element
    each element ── parsed, validated, dropped ──> its faults; parsed again where it is prepared

The cut considers brackets, commas and strings only. Its pieces are JSON if and only if the body is: each element and the rest
are parsed by the same parser as a whole body would be.
"""

import json
import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from mailroom.domain.errors import Fault, Unacceptable
from mailroom.domain.outbound.message import LIMITS
from mailroom.outbound.batch_body import Message, NewBatch, TemplateRecipient
from mailroom.outbound.packed import Reread
from mailroom.outbound.request import MORE_FAULTS, MOST_FAULTS, Letter, Recipient, Request

T = TypeVar("T")
Body = bytes | bytearray

#: The limit of values and brackets in one message or recipient, and in the rest of the body: an empty list takes 2 bytes of
#: a body and some hundred bytes of memory.
MOST_VALUES = 20_000

#: Matches up to the next bracket or comma outside a string. Possessive, so that no string makes it backtrack.
_NEXT = re.compile(rb'(?:[^"\[\]{},]++|"(?:[^"\\]++|\\.)*+")*+[\[\]{},]', re.DOTALL)
_KEY = re.compile(rb'\s*+("(?:[^"\\]++|\\.)*+")\s*+:\s*+\[')
_LISTS = ("messages", "recipients")
_OPEN, _CLOSE, _COMMA, _BRACE = b"{[", b"}]", ord(","), ord("{")

#: Descriptions of fields with several allowed types: pydantic reports an error for each type.
_EITHER = {
    "to": f"must be one address, or a list of 1 to {LIMITS.recipients_of_one}",
    "unsubscribe": "must be an https URL, or true",
}
_WAYS = ("str", "list[str]", "bool")
_SHAPES = {"extra_forbidden": "unknown field", "missing": "required"}


class Misshapen(Unacceptable):
    """The body is not JSON, or has not the shape of a batch."""


def read_batch(body: Body, default_sender: str) -> Request:
    """Return the request. Its messages and recipients are parsed from `body` each time that they are iterated over.

    Raises:
        Misshapen: with every fault of its shape, up to `MOST_FAULTS`.
        Unacceptable: it has more messages or recipients than a batch may have.
    """
    rest, lists = _cut(body)
    faults: list[Fault] = []
    try:
        batch = NewBatch.model_validate_json(rest)
        # Of a repeated name in one body the last counts, and its value may be null.
        lists = {name: elements for name, elements in lists.items() if getattr(batch, name) is not None}
    except ValidationError as error:
        faults += shape_faults(error)
    messages, recipients = lists.get("messages"), lists.get("recipients")
    for name, elements, model in (("messages", messages, Message), ("recipients", recipients, TemplateRecipient)):
        for number, element in enumerate(elements or ()):
            try:
                model.model_validate_json(element)
            except ValidationError as error:
                faults += shape_faults(error, (name, number))
            if len(faults) > MOST_FAULTS:
                raise Misshapen("not a batch", faults=(*faults[:MOST_FAULTS], MORE_FAULTS))
    if faults:
        raise Misshapen("not a batch", faults=tuple(faults))
    return batch.request(
        default_sender,
        letters=None if messages is None else _Each(messages, _letter),
        recipients=None if recipients is None else _Each(recipients, _recipient),
    )


def shape_faults(error: ValidationError, at: tuple[str | int, ...] = ()) -> list[Fault]:
    """Return the faults in the shape of the value at `at`, without the value: it may be an address."""
    faults: list[Fault] = []
    for one in error.errors(include_input=False, include_url=False, include_context=False):
        where, what = one["loc"], _SHAPES.get(one["type"], one["msg"].removeprefix("Value error, "))
        if where[-1:] and where[-1] in _WAYS and where[-2] in _EITHER:
            where, what = where[:-1], _EITHER[str(where[-2])]
        faults.append(Fault((*at, *where), what))
    return list(dict.fromkeys(faults))


@dataclass(slots=True)
class _List(Reread[bytearray | bytes]):
    """The elements of one list of a body, by the positions of their start and end."""

    body: Body
    places: "array[int]" = field(default_factory=lambda: array("Q"))

    def add(self, start: int, end: int) -> None:
        self.places.extend((start, end))
        if len(self) > LIMITS.messages:
            raise Unacceptable("too many", faults=(Fault((), f"a batch must have 1 to {LIMITS.messages} messages"),))

    def __iter__(self) -> Iterator[Body]:
        pairs = iter(self.places)
        for start, end in zip(pairs, pairs, strict=True):
            yield self.body[start:end]

    def __len__(self) -> int:
        return len(self.places) // 2


class _Each(Reread[T]):
    """The elements of a list, each parsed when it is iterated over."""

    def __init__(self, elements: _List, make: Callable[[Body, int], T]) -> None:
        self._elements, self._make = elements, make

    def __iter__(self) -> Iterator[T]:
        for number, element in enumerate(self._elements):
            yield self._make(element, number)

    def __len__(self) -> int:
        return len(self._elements)


def _letter(element: Body, number: int) -> Letter:
    return Message.model_validate_json(element).letter(number)


def _recipient(element: Body, number: int) -> Recipient:
    return TemplateRecipient.model_validate_json(element).recipient(number)


def _cut(body: Body) -> tuple[Body, dict[str, _List]]:
    """Return the body with its long lists emptied, and these lists by name.

    Raises:
        Misshapen: a string or a bracket is not closed, or there are too many values.
    """
    cutting = _Cutting(body)
    at = 0
    while (match := _NEXT.match(body, at)) is not None:
        cutting.mark(body[match.end() - 1], at, match.end())
        at = match.end()
    if cutting.depth or body.find(b'"', at) >= 0:
        raise Misshapen("not JSON", faults=(Fault((), "Invalid JSON: a bracket or a quotation mark is not closed"),))
    return cutting.rest(), cutting.lists


class _Cutting:
    """The state of the cut: its depth and the current list. Each mark is a bracket or a comma."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self.depth = 0
        self.lists: dict[str, _List] = {}
        self._list: _List | None = None
        self._name = ""
        self._start = self._values = self._values_of_rest = 0
        self._in_object = False
        #: What remains of the body, as pairs of positions.
        self._kept: list[int] = [0]

    def mark(self, mark: int, since: int, end: int) -> None:
        self._values += 1
        if self._values > MOST_VALUES:
            where = () if self._list is None else (self._name, len(self._list))
            raise Misshapen("too many", faults=(Fault(where, f"more than {MOST_VALUES} values are here"),))
        if mark in _OPEN:
            self.depth += 1
            if self.depth == 1:
                self._in_object = mark == _BRACE
            elif self.depth == 2 and self._in_object:
                self._begin(since, end)
        elif mark in _CLOSE:
            self.depth -= 1
            if self.depth == 1 and self._list is not None:
                self._end(end - 1)
            elif self.depth < 0:
                raise Misshapen("not JSON", faults=(Fault((), "Invalid JSON: a bracket was not opened"),))
        elif self.depth == 2 and self._list is not None:
            self._add(end - 1)

    def rest(self) -> Body:
        kept = [*self._kept, len(self._body)]
        if len(kept) == 2:
            return self._body
        pairs = iter(kept)
        return b"".join(self._body[start:end] for start, end in zip(pairs, pairs, strict=True))

    def _begin(self, since: int, end: int) -> None:
        match = _KEY.fullmatch(self._body, since, end)
        if match is None:
            return
        try:
            name: Any = json.loads(match[1])
        except ValueError:
            return
        if name in _LISTS:
            self._name, self._list = name, _List(self._body)
            self.lists[name] = self._list
            self._kept.append(end)
            self._values_of_rest, self._values, self._start = self._values, 0, end

    def _add(self, end: int) -> None:
        assert self._list is not None
        self._list.add(self._start, end)
        self._start, self._values = end + 1, 0

    def _end(self, end: int) -> None:
        assert self._list is not None
        if len(self._list) or self._body[self._start : end].strip():
            self._add(end)
        self._kept.append(end)
        self._list, self._values = None, self._values_of_rest
