"""The orchestrator's scheduler in memory."""

from mailroom.domain.errors import TransientError
from mailroom.ports.scheduler import ScheduledDeployment, Scheduling


class MemoryScheduler:
    """The port `Scheduler` that returns `found`; None is an orchestrator that does not respond."""

    def __init__(self, found: Scheduling | None) -> None:
        self.found = found
        self.looks = 0

    def deployments(self) -> list[ScheduledDeployment]:
        """Return the active ones, without runs."""
        if self.found is None:
            raise TransientError("Prefect cannot be reached")
        return [ScheduledDeployment(name) for name in self.found.active]

    def look(self) -> Scheduling:
        """Return what was found."""
        self.looks += 1
        if self.found is None:
            raise TransientError("Prefect cannot be reached")
        return self.found
