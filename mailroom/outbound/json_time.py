"""The type of times in bodies and queries of the HTTP API."""

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
