"""The circuit breaker as sending sees it: what stops a batch or a whole tenant, and until a person says otherwise.

It opens by the rates of `mailroom.domain.delivery.reputation` and never closes by itself. What was handed over before somebody
closed it counts no more, so that it does not open again for the same bounces.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

from mailroom.domain.delivery.reputation import ReputationCounts, Trip


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A breaker that opened: nothing of this batch, or with `batch_id` None nothing of this tenant, is handed over.

    `tally` is what it was judged by; `runs` are the flow runs that wait for it to be closed.
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

    def as_json(self) -> dict[str, Any]:
        """Return it for programs, with the counts beside the rest."""
        values = asdict(self)
        values |= values.pop("tally") | {"runs": list(self.runs), **self.trip.advise(self.trip)}
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


class Breakers(Protocol):
    """The breakers of all batches and tenants. Every call may raise `TransientError`."""

    def check(self, batch_id: str, *, now: datetime) -> Broken | None:
        """Return what stops this batch, opened now if its own rates or its tenant's ask for it. Asked before each turn.

        Raises:
            LookupError: there is no such batch.
        """

    def hold(self, breaker_id: str, run_id: str) -> None:
        """Note that this run waits for the breaker to be closed."""

    def close(self, breaker_id: str, *, by: str, now: datetime) -> Broken | None:
        """Close it and return it, with the runs that waited; None for an unknown one. Who closed it first stays."""

    def all(self, tenant: str | None, *, only_open: bool, limit: int) -> list[Broken]:
        """Return breakers that opened, newest first; a tenant sees its own."""

    def of_batch(self, batch_id: str) -> Broken | None:
        """Return the open breaker that stops this batch, or None; nothing is judged."""
