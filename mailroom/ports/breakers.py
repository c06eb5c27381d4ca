"""Circuit breakers: each stops sending for a batch or a whole tenant until an operator closes it.

A breaker opens by the rates of `mailroom.domain.delivery.reputation` and never closes by itself. Mail that was sent before it
was closed no longer counts, so that it does not open again for the same bounces.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

from mailroom.domain.delivery.reputation import ReputationCounts, Trip
from mailroom.domain.delivery.same_refusals import SentTo


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A breaker that opened: it stops this batch, or every batch of the tenant where `batch_id` is None.

    `tally` are the counts that opened it; `runs` are the flow runs that wait for it to be closed.
    """

    id: str
    tenant: str
    batch_id: str | None
    trip: Trip
    tally: ReputationCounts
    opened_at: datetime
    closed_at: datetime | None = None
    closed_by: str | None = None
    runs: tuple[str, ...] = ()
    #: The answer (phase, code, status) that a row of recipients was refused with; `tally.sent` is their number.
    answer: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values, with the counts as fields of the same object."""
        values = asdict(self)
        values |= values.pop("tally") | {"runs": list(self.runs), **self.trip.advise(self.trip)}
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


@dataclass(frozen=True, slots=True)
class CountedRefusals:
    """A batch's row of the same refusal after some outcomes.

    `full_at` is the number of outcomes up to which the row became full, so that its breaker is open; None: it is not full.
    `is_counting`: the last answers are such a row.
    """

    answer: str
    full_at: int | None
    is_counting: bool


class Breakers(Protocol):
    """The breakers of all batches and tenants. Every call may raise `TransientError`."""

    def check(self, batch_id: str, *, now: datetime) -> Broken | None:
        """Return the breaker that stops this batch, opened now if its rates or its tenant's demand it. Called before each send.

        Raises:
            LookupError: there is no such batch.
        """

    def count_refusals(self, batch_id: str, outcomes: Sequence[SentTo], *, now: datetime) -> CountedRefusals:
        """Count the same refusal in a row, in the order of sending; a full row opens a breaker of this batch alone.

        While that breaker is open, the same refusals are full from the first.
        """

    def hold(self, breaker_id: str, run_id: str) -> None:
        """Record that this run waits for the breaker to be closed."""

    def close(self, breaker_id: str, *, by: str, now: datetime) -> Broken | None:
        """Close it and return it, with the runs that waited; None for an unknown one. The first `by` is kept."""

    def all(self, tenant: str | None, *, only_open: bool, limit: int) -> list[Broken]:
        """Return breakers that opened, newest first; with `tenant` only that tenant's."""

    def of_batch(self, batch_id: str) -> Broken | None:
        """Return the open breaker that stops this batch, or None. Rates are not evaluated."""
