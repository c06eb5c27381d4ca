"""Flow runs of the orchestrator (Prefect): start, retry, resume, find."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from mailroom.domain.inbound.received_email import ObjectRef


@dataclass(frozen=True, slots=True)
class Run:
    """A flow run, as reported by the orchestrator."""

    id: str
    name: str
    state: str
    url: str


class RunStarter(Protocol):
    """Starts, retries, resumes and finds flow runs."""

    def start(self, ref: ObjectRef) -> Run:
        """Return the run for this object, created and scheduled if it does not exist."""

    def retry(self, run_id: str) -> Run:
        """Schedule this run again, with the same id.

        Raises:
            LookupError: the orchestrator has no such run.
        """

    def resume(self, run_id: str) -> bool:
        """Resume a run that suspended itself; False if it is no longer suspended, or not found."""

    def find(self, run_id: str) -> Run | None:
        """Return the run, or None."""

    def tasks(self, run_id: str) -> Iterator[tuple[str, str]]:
        """Yield the name and state of each task run of a run, in order of start."""
