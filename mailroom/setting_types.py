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

SenderProcesses = Annotated[
    int,
    Field(
        ge=0,
        le=32,
        json_schema_extra={"unit": "processes"},
        description="Processes of a worker that call SES or an SMTP server while more than 150 mails a second are sent; 0: the "
        "worker makes the calls itself, on one core.",
    ),
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
