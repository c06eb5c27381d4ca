"""Which findings of the monitoring are reported now, and which were reported before."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

#: A finding that lasts is reported again after this time.
REMIND_AFTER = timedelta(hours=1)


def due_findings(
    facts: Collection[str], reported: Mapping[str, datetime], *, now: datetime
) -> tuple[set[str], dict[str, datetime]]:
    """Return the findings to report now, and the time of the last report of each finding after that.

    A finding is reported when it is new and again each hour while it lasts; once it has ended, it is new the next time.
    """
    due = {fact for fact in facts if fact not in reported or now - reported[fact] >= REMIND_AFTER}
    return due, {fact: now if fact in due else reported[fact] for fact in sorted(facts)}
