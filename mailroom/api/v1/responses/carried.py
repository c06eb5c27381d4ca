"""JSON shapes of what an item carries beside its text and files. Null where an older release filed the item: not known."""

from datetime import datetime

from pydantic import Field

from mailroom.outbound.json_model import JsonModel


class HeaderFieldResponse(JsonModel):
    """A field of the mail's header block."""

    name: str = Field(description="In lower case")
    value: str = Field(description="Decoded, on one line; one that was cut ends in an ellipsis")


class ReportResponse(JsonModel):
    """A part for programs. The sender wrote every field of it."""

    kind: str = Field(
        description="`delivery` (DSN, RFC 3464), `disposition` (read receipt or MDN, RFC 8098), `abuse` (ARF, RFC 5965)"
    )
    fields: dict[str, str] = Field(description="Fields on the whole, by lower-case name")
    items: list[dict[str, str]] = Field(description="Fields on each recipient of a delivery report")


class CalendarTimeResponse(JsonModel):
    """A time as the calendar writes it, and the moment that it means."""

    local: str = Field(
        description="`2025-12-01T14:00:00` in its time zone, `2025-12-01` for a whole day; what is no date, as it is written"
    )
    zone: str | None = Field(
        description="Time zone as the calendar names it; null for a whole day, and for a time in the reader's own zone"
    )
    at: datetime | None = Field(description="The moment in UTC; null without a zone, or if the zone is not known")


class AttendeeResponse(JsonModel):
    """A person in an invitation."""

    who: str
    answer: str | None = Field(description="`accepted`, `declined`, `tentative` or `delegated`; null without an answer")


class InvitationResponse(JsonModel):
    """A meeting, task or other entry of a calendar in the mail. Nothing of it is verified."""

    component: str = Field(description="`event`, `task`, `journal` or `free_busy`")
    action: str | None = Field(
        description="`request`, `update` (a request that changes an earlier one), `cancel`, `reply`, `counter`,"
        " `decline_counter`, `add`, `refresh` or `publish`; null if the calendar says none"
    )
    summary: str | None
    location: str | None
    description: str | None
    organiser: str | None
    starts: CalendarTimeResponse | None
    ends: CalendarTimeResponse | None = Field(
        description="The first moment after it; if `all_day`, the day after its last"
    )
    all_day: bool
    recurrence: str | None = Field(description="How it repeats, in words: `every 2 weeks on Monday, 10 times`")
    recurrence_rule: str | None = Field(description="The same as the calendar writes it (RRULE)")
    occurrence: CalendarTimeResponse | None = Field(description="The one date of a series that this is about")
    status: str | None = Field(description="`confirmed`, `tentative` or `cancelled`, or another word of RFC 5545")
    uid: str | None = Field(description="The same in all mails about one meeting")
    sequence: int | None = Field(description="Number of the change; 0 or null is the first invitation")
    attendees: list[AttendeeResponse]
    attendees_left_out: int = Field(description="Number of attendees over the limit of 100")
