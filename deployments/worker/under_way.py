"""The runs under way in this process, each once."""

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, State


class UnderWay:
    """The tasks of runs, by the run's id; a run under way is joined, not started twice."""

    def __init__(self, name: str) -> None:
        """Take the prefix of its tasks' names, to which the run's id is added."""
        self._name = name
        self._tasks: dict[UUID, asyncio.Task[State | None]] = {}
        self._runs: dict[UUID, FlowRun] = {}
        self._cancelled: set[UUID] = set()

    def task_of(self, run_id: UUID) -> asyncio.Task[State | None] | None:
        """Return the task of a run, None if it is not under way."""
        return self._tasks.get(run_id)

    def begin(self, run: FlowRun, work: Coroutine[Any, Any, State | None]) -> asyncio.Task[State | None]:
        """Start the task of a run that has none."""
        task = asyncio.create_task(work, name=f"{self._name}-{run.id}")
        self._tasks[run.id], self._runs[run.id] = task, run
        task.add_done_callback(lambda _: (self._tasks.pop(run.id, None), self._runs.pop(run.id, None)))
        return task

    def runs(self) -> dict[UUID, FlowRun]:
        """Return the runs, by id."""
        return dict(self._runs)

    def tasks(self) -> Collection[asyncio.Task[State | None]]:
        """Return their tasks."""
        return self._tasks.values()

    def mark_cancelled(self, run_id: UUID) -> None:
        """Note that a person cancelled the run, before its task is cancelled."""
        self._cancelled.add(run_id)

    def was_cancelled(self, run_id: UUID) -> bool:
        """Return whether a person cancelled the run; True only once."""
        if run_id not in self._cancelled:
            return False
        self._cancelled.discard(run_id)
        return True
