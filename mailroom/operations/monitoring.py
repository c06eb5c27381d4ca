"""Which facts are to be told now, and which were told before."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

#: While it lasts, a fact is told again after so long.
REMIND_AFTER = timedelta(hours=1)


def due_findings(
    found: Collection[str], told: Mapping[str, datetime], *, now: datetime
) -> tuple[set[str], dict[str, datetime]]:
    """Return what of `found` is to be told now, and what will have been told, and when, after that.

    A fact is told when it is new and again each hour while it lasts; once it is over, it is new the next time.
    """
    due = {fact for fact in found if fact not in told or now - told[fact] >= REMIND_AFTER}
    return due, {fact: now if fact in due else told[fact] for fact in sorted(found)}
