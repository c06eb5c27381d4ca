"""A `ParsedEmail` as JSON with the attachments' bytes beside it, and back: the format of the parser process's output.

No pickle: the output of a process that read hostile mail is data and is read as data.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from mailroom.domain.mail.contained import contained_of
from mailroom.domain.parsing.model import HeaderField, Invitation, ParsedAttachment, ParsedEmail, Report


def to_record(parsed: ParsedEmail) -> dict[str, Any]:
    """Return everything in `parsed` but the bytes of its attachments, ready for JSON."""
    record = parsed.as_dict()
    for values, attachment in zip(record["attachments"], parsed.attachments, strict=True):
        values["nested"] = attachment.nested
    return record


def from_record(record: dict[str, Any], contents: Iterable[bytes]) -> ParsedEmail:
    """Return the e-mail of a record made by `to_record`, with `contents` in the order of its attachments."""
    values = zip(record.pop("attachments"), contents, strict=True)
    return ParsedEmail(
        from_=record.pop("from"),
        to=tuple(record.pop("to")),
        cc=tuple(record.pop("cc")),
        date=datetime.fromisoformat(date) if (date := record.pop("date")) else None,
        attachments=tuple(_attachment(one, content) for one, content in values),
        protection=tuple(record.pop("protection")),
        reports=tuple(Report.from_dict(one) for one in record.pop("reports")),
        defects=tuple(record.pop("defects")),
        reply_to=tuple(record.pop("reply_to")),
        in_reply_to=tuple(record.pop("in_reply_to")),
        references=tuple(record.pop("references")),
        invitations=tuple(Invitation.from_dict(one) for one in record.pop("invitations")),
        header_fields=tuple(HeaderField.from_dict(one) for one in record.pop("header_fields")),
        **record,
    )


def _attachment(values: dict[str, Any], content: bytes) -> ParsedAttachment:
    members = tuple(contained_of(member) for member in values.pop("members"))
    return ParsedAttachment(members=members, content=content, **values)
