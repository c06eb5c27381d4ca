"""The orchestrator's flow runs, seen from the product."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from mailroom.domain.inbound.received_email import ObjectRef


@dataclass(frozen=True, slots=True)
class Run:
    """A flow run as the orchestrator tells of it."""

    id: str
    name: str
    state: str
    url: str


class RunStarter(Protocol):
    """The orchestrator, seen from the product."""

    def start(self, ref: ObjectRef) -> Run:
        """Return the run for this object, created and scheduled if there is none."""

    def retry(self, run_id: str) -> Run:
        """Schedule this run again under its own id.

        Raises:
            LookupError: the orchestrator has no such run.
        """

    def resume(self, run_id: str) -> bool:
        """Let a run that suspended itself go on; False for one that waits no more, or is not there."""

    def find(self, run_id: str) -> Run | None:
        """Return the run, or None."""

    def tasks(self, run_id: str) -> Iterator[tuple[str, str]]:
        """Yield the name and state of each task of a run, in the order of their start."""
