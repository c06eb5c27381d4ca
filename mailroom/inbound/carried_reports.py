"""The reports and the marks of an automatic reply that an item carries, bounded: a row is no place for a megabyte of them.

What is over a bound is counted, and is in the raw mail.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mailroom.domain.delivery.mail_reports import is_automatic_reply
from mailroom.domain.mail.carried import Report
from mailroom.domain.parsing import ParsedEmail

MOST_REPORTS, MOST_ITEMS, MOST_FIELDS, LONGEST_VALUE = 10, 100, 40, 1_000


def carried_reports(mail: ParsedEmail) -> dict[str, Any]:
    """Return the fields `reports`, `automatic_reply` and `not_carried` of the mail's items."""
    reports = [report for report in mail.reports if report.kind != "calendar"]
    kept = tuple(_bounded(report) for report in reports[:MOST_REPORTS])
    left_out = len(reports) - len(kept) + sum(max(0, len(report.items) - MOST_ITEMS) for report in reports)
    headers: dict[str, list[str]] = {}
    for one in mail.header_fields:
        headers.setdefault(one.name, []).append(one.value)
    return {
        "reports": kept,
        # A server's report says by the same mark that it is automatic.
        "automatic_reply": not reports and is_automatic_reply(mail.subject, headers),
        "not_carried": {**mail.not_carried, **({"reports": left_out} if left_out else {})},
    }


def _bounded(report: Report) -> Report:
    return Report(report.kind, _fields(report.fields), _items(report.items))


def _items(items: Sequence[Mapping[str, str]]) -> tuple[Mapping[str, str], ...]:
    return tuple(_fields(item) for item in items[:MOST_ITEMS])


def _fields(fields: Mapping[str, str]) -> dict[str, str]:
    return {name[:LONGEST_VALUE]: value[:LONGEST_VALUE] for name, value in list(fields.items())[:MOST_FIELDS]}
