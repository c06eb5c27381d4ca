"""The health of the orchestrator's scheduler."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

#: A scheduler creates the next run of a schedule within a minute of the last; this much later it counts as silent.
_SCHEDULER_PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduling:
    """What the orchestrator's scheduler has done for this installation's schedules.

    `last_worked_at` is when it last scheduled a run by itself, None if never. `active` are the deployments with an active
    schedule that is not paused, `idle` those of them without a run scheduled ahead. `every` is their shortest interval,
    None where all of them have times of day.
    """

    last_worked_at: datetime | None
    active: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    every: timedelta | None = None

    def is_silent(self, now: datetime) -> bool:
        """Return whether the scheduler has stopped: a schedule has no run ahead, or a new run is overdue.

        In the first minute after its start, a scheduler that has not made its first pass is silent too.
        """
        if self.idle:
            return True
        if not self.active or self.every is None:
            return False
        return self.last_worked_at is None or now - self.last_worked_at > self.every + _SCHEDULER_PATIENCE

    def as_json(self, now: datetime) -> dict[str, Any]:
        """Return the JSON values that `status` and `/readyz` show."""
        worked = self.last_worked_at.isoformat() if self.last_worked_at else None
        return {"last_worked_at": worked, "silent": self.is_silent(now), "without_runs": list(self.idle)}


@dataclass(frozen=True, slots=True)
class ScheduledDeployment:
    """A deployment with an active schedule: its last run that began, with its state and message, and its next."""

    name: str
    paused: bool = False
    last_at: datetime | None = None
    last_state: str | None = None
    last_message: str | None = None
    next_at: datetime | None = None


class Scheduler(Protocol):
    """The orchestrator's scheduler."""

    def deployments(self) -> Sequence[ScheduledDeployment]:
        """Return the deployments with a schedule, by name, asked now.

        Raises:
            TransientError: the orchestrator does not answer.
        """

    def look(self) -> Scheduling:
        """Return what it has done lately; the result may be some seconds old.

        Raises:
            TransientError: the orchestrator does not answer.
        """
