"""The parser: raw bytes of an e-mail to a `ParsedEmail`. It never raises; faults of the mail are in `defects`."""

from mailroom.domain.mail.contained import Contained
from mailroom.domain.parsing.limits import Defect, Limits
from mailroom.domain.parsing.message import parse_email, parse_member
from mailroom.domain.parsing.model import ParsedAttachment, ParsedEmail, Protection, Report

__all__ = [
    "Contained",
    "Defect",
    "Limits",
    "ParsedAttachment",
    "ParsedEmail",
    "Protection",
    "Report",
    "parse_email",
    "parse_member",
]
