"""The parser: raw bytes of an e-mail to a `ParsedEmail`. It never raises; faults of the mail are in `defects`."""

from mailroom.domain.parsing.limits import Defect, Limits
from mailroom.domain.parsing.message import parse_email
from mailroom.domain.parsing.model import Contained, ParsedAttachment, ParsedEmail, Protection, Report

__all__ = ["Contained", "Defect", "Limits", "ParsedAttachment", "ParsedEmail", "Protection", "Report", "parse_email"]
