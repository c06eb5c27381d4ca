"""The orchestrator's runs in memory."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import uuid4

from mailroom.domain.errors import TransientError
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.ports.runs import Run


@dataclass(slots=True)
class MemoryRuns:
    """The port `RunStarter` in memory; `asked` lists the requested objects, `down` is an outage.

    `known` are ids of runs that were started elsewhere, `suspended` ids of those that wait to be resumed.
    """

    known: set[str] = field(default_factory=set)
    suspended: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    down: bool = False
    _started: dict[ObjectRef, Run] = field(default_factory=dict)

    def start(self, ref: ObjectRef) -> Run:
        """Return the run for this object."""
        self._answer()
        self.asked.append(("start", ref.key))
        return self._started.setdefault(ref, _run(str(uuid4()), ref.message_id, "Scheduled"))

    def retry(self, run_id: str) -> Run:
        """Return the run, scheduled, or raise LookupError."""
        run = self.find(run_id)
        if run is None:
            raise LookupError("no such run")
        self.asked.append(("retry", run_id))
        return _run(run_id, run.name, "AwaitingRetry")

    def resume(self, run_id: str) -> bool:
        """Resume a suspended run."""
        self._answer()
        self.asked.append(("resume", run_id))
        waited = run_id in self.suspended
        self.suspended.discard(run_id)
        return waited

    def find(self, run_id: str) -> Run | None:
        """Return the run, or None."""
        self._answer()
        started = next((run for run in self._started.values() if run.id == run_id), None)
        if started is None and run_id in self.known | self.suspended:
            return _run(run_id, "run", "Suspended" if run_id in self.suspended else "Completed")
        return started

    def tasks(self, run_id: str) -> Iterator[tuple[str, str]]:
        """Yield no tasks: none of these runs has started."""
        self._answer()
        yield from ()

    def _answer(self) -> None:
        if self.down:
            raise TransientError("Prefect cannot be reached")


def _run(run_id: str, name: str, state: str) -> Run:
    return Run(run_id, name, state, f"http://127.0.0.1:4200/runs/flow-run/{run_id}")
