"""Types of settings, with what `mailroom settings` prints of them."""

from typing import Annotated

from pydantic import Field

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
