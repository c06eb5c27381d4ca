"""Facts about the whole installation that one look needs, read in a bounded time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from mailroom.ports.holds import HeldCount, HoldReason
from mailroom.ports.inbox_reader import WorkerLine
from mailroom.ports.pauses import Pause
from mailroom.ports.reconciliations import Reconciliation


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallationFacts:
    """Counts and times of the database: mail received and filed of late, what waits, what is held, workers, the last proof.

    `filing_time` is the time within which 95 of 100 mails of the last hour were filed. `quarantined` counts what was not
    filed, `quarantined_lately` that of the last day. `replays_left` are e-mails of replays that have not ended.
    `may_change_journals` is true while the application's login of the database could change the archive's journals.
    """

    last_hour: int = 0
    last_day: int = 0
    filing_time: timedelta | None = None
    oldest_unfiled: datetime | None = None
    quarantined: int = 0
    quarantined_lately: int = 0
    replays_left: int = 0
    waiting_messages: int = 0
    waiting_batches: int = 0
    oldest_due: datetime | None = None
    held: Mapping[HoldReason, HeldCount] = field(default_factory=dict)
    pauses: Sequence[Pause] = ()
    breakers: int = 0
    workers: Sequence[WorkerLine] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    proof: Reconciliation | None = None
    #: When the copy of the archive that was read longest ago was read, and documents with damage that is not repaired.
    oldest_verified: datetime | None = None
    incidents: int = 0
    schema: str | None = None
    may_change_journals: bool = False


class StatusFacts(Protocol):
    """Reads the facts."""

    def facts(self, *, now: datetime, within: timedelta) -> InstallationFacts:
        """Return the facts; the database ends each query after `within`.

        Raises:
            TransientError: it does not answer in time.
            UnfitSchema: its schema does not fit this version.
        """
