"""What a mail carries beside its text and files: reports, invitations, and header fields; and their form in JSON.

All of it is the sender's word. Strings contain neither NUL nor lone surrogates.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from mailroom.domain.mail.typed_fields import fitting


@dataclass(frozen=True, slots=True)
class Report:
    """A machine-readable part, with its fields by lower-case name; the sender chose every one.

    `kind` is `delivery` (RFC 3464), `disposition` (RFC 8098), `abuse` (RFC 5965) or `calendar` (RFC 5545). `items` are
    the recipients of a delivery report and the entries of a calendar.
    """

    kind: str
    fields: Mapping[str, str]
    items: tuple[Mapping[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the report, ready for JSON."""
        return {"kind": self.kind, "fields": dict(self.fields), "items": [dict(item) for item in self.items]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Report":
        """Return the report of `as_dict`."""
        return fitting(cls(values["kind"], _texts(values["fields"]), tuple(_texts(item) for item in values["items"])))


@dataclass(frozen=True, slots=True)
class HeaderField:
    """A field of the mail's header block: its name in lower case, and its decoded value on one line."""

    name: str
    value: str

    def as_dict(self) -> dict[str, Any]:
        """Return the field, ready for JSON."""
        return {"name": self.name, "value": self.value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "HeaderField":
        """Return the field of `as_dict`."""
        return fitting(cls(values["name"], values["value"]))


@dataclass(frozen=True, slots=True)
class CalendarTime:
    """A time as a calendar writes it."""

    local: str
    """ISO 8601 without an offset: `2025-12-01T14:00:00`, or `2025-12-01` for a whole day; what is no date, as it is written."""
    zone: str | None = None
    """As the calendar names it; None for a whole day, and for a time in the reader's own zone."""
    at: datetime | None = None
    """The moment in UTC; None without a zone, or if the zone is not known."""


@dataclass(frozen=True, slots=True)
class Attendee:
    """A person in an invitation. `answer` is `accepted`, `declined`, `tentative` or `delegated`, else None."""

    who: str
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Invitation:
    """An entry of a calendar in the mail (RFC 5545, RFC 5546), or a meeting request of Outlook's."""

    component: str
    """`event`, `task`, `journal` or `free_busy`."""
    action: str | None
    """`request`, `update`, `cancel`, `reply`, `counter`, `decline_counter`, `add`, `refresh` or `publish`; None if unknown."""
    summary: str | None = None
    location: str | None = None
    description: str | None = None
    organiser: str | None = None
    starts: CalendarTime | None = None
    ends: CalendarTime | None = None
    """The first moment after it; for a whole day the day after the last (RFC 5545 section 3.6.1)."""
    all_day: bool = False
    recurrence: str | None = None
    """How it repeats, in words; `recurrence_rule` is the same as the calendar writes it (RFC 5545 section 3.3.10)."""
    recurrence_rule: str | None = None
    occurrence: CalendarTime | None = None
    """The one date of a series that this is about."""
    status: str | None = None
    """`confirmed`, `tentative`, `cancelled`, or another word of RFC 5545 section 3.8.1.11 in lower case."""
    uid: str | None = None
    sequence: int | None = None
    attendees: tuple[Attendee, ...] = ()
    attendees_left_out: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the invitation, ready for JSON."""
        values = asdict(self) | {"attendees": [asdict(one) for one in self.attendees]}
        return values | {name: _time_as_dict(getattr(self, name)) for name in _TIMES}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Invitation":
        """Return the invitation of `as_dict`."""
        known = {one.name: values[one.name] for one in fields(cls) if one.name in values}
        times = {name: _time_from_dict(values.get(name)) for name in _TIMES}
        attendees = tuple(fitting(Attendee(one["who"], one["answer"])) for one in values.get("attendees", ()))
        return fitting(cls(**known | times | {"attendees": attendees}))


_TIMES = ("starts", "ends", "occurrence")


def _time_as_dict(time: CalendarTime | None) -> dict[str, Any] | None:
    return asdict(time) | {"at": time.at.isoformat() if time.at else None} if time else None


def _time_from_dict(values: Mapping[str, Any] | None) -> CalendarTime | None:
    if values is None:
        return None
    at = datetime.fromisoformat(values["at"]) if values["at"] else None
    if at is not None:
        datetime.fromisoformat(values["local"])  # raises: a moment belongs to a time
    return fitting(CalendarTime(values["local"], values["zone"], at))


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in values.items()}
