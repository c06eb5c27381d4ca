"""The type of times in bodies and queries of the HTTP API."""

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from mailroom.domain.times import HOW, bounded


def _written(time: Any) -> Any:
    # A bare number is ambiguous: seconds or milliseconds since 1970.
    if isinstance(time, datetime) or (
        isinstance(time, str) and not time.strip().lstrip("+-").replace(".", "").isdigit()
    ):
        return time
    raise ValueError(HOW)


#: ISO 8601; UTC without an offset; within the bounds of `mailroom.domain.times`.
Time = Annotated[
    datetime,
    BeforeValidator(_written),
    AfterValidator(bounded),
    Field(description="ISO 8601, from 1970-01-01 to before 3000-01-01; UTC unless an offset is given"),
]

_ZONE = re.compile(r"[Zz]$|[+-]\d\d:?\d\d$")
_SPACE_ZONE = re.compile(r" \d\d:?\d\d$")


def _zoned(time: Any) -> Any:
    if isinstance(time, str) and not _ZONE.search(time.strip()):
        if "T" in time.upper() and _SPACE_ZONE.search(time):
            raise ValueError("in a URL the + of a time zone is written %2B")
        raise ValueError(f"the time zone is missing; {HOW}")
    return time


#: RFC 3339: as `Time`, with a time zone.
ZonedTime = Annotated[
    datetime,
    BeforeValidator(_written),
    BeforeValidator(_zoned),
    AfterValidator(bounded),
    Field(description="RFC 3339 with a time zone, from 1970-01-01 to before 3000-01-01"),
]
