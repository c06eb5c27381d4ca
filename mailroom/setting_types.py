"""Types of settings, with what `mailroom settings` prints of them."""

from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field

MailsAnHour = Annotated[
    int,
    Field(
        ge=0,
        le=10_000,
        json_schema_extra={"unit": "mails an hour"},
        description="Mails of one sender to one address that are filed within an hour; more are quarantined as `too_many`; "
        "0 is no limit.",
    ),
]

PublicPort = Annotated[
    int,
    Field(
        ge=0,
        le=65535,
        description="Port of the HTTP service for public paths alone (links in mails, providers' hooks); 0 serves all on one port.",
    ),
]


def _time_zone(written: str) -> str:
    """Return the name of a time zone of the IANA database.

    Raises:
        ValueError: it is none.
    """
    if written not in available_timezones():
        raise ValueError("not a time zone of the IANA database, such as Europe/Berlin")
    return ZoneInfo(written).key


TimeZone = Annotated[
    str,
    AfterValidator(_time_zone),
    Field(description="Time zone of the times on pages, such as `Europe/Berlin`; the API and the commands have UTC."),
]

RecipientRetryHours = Annotated[
    int,
    Field(
        ge=1,
        le=720,
        json_schema_extra={"unit": "hours"},
        description="How long a message is tried again that its recipient's server does not take for now, from its first try.",
    ),
]
