"""Values read from JSON whose fields are of the types that their class says."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_origin

_T = TypeVar("_T")


def fitting(value: _T) -> _T:
    """Return `value`; a row that a person or another release wrote may have other types in it.

    Raises:
        TypeError: a field is not of its type.
    """
    for one in fields(value):  # type: ignore[arg-type]
        kind: Any = get_origin(one.type) if get_origin(one.type) in (tuple, Mapping) else one.type
        if not isinstance(getattr(value, one.name), kind):
            raise TypeError(f"{one.name} of {type(value).__name__} is of another type")
    return value
