"""Questions to the domain name system."""

from enum import StrEnum
from typing import Protocol


class RecordType(StrEnum):
    """The types of records that are asked for."""

    CNAME = "CNAME"
    MX = "MX"
    TXT = "TXT"


class Dns(Protocol):
    """A resolver with bounded time."""

    def records(self, name: str, kind: RecordType) -> tuple[str, ...] | None:
        """Return the values of the records; none if there are none, None where no server answers in time.

        A name in a value is in lower case without a final dot; an MX value is `10 mx.acme.test`, a TXT value its whole text.
        """
