"""The state of Prefect's scheduler in /readyz and in the metrics."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mailroom.api.app import create_app
from mailroom.ports.scheduler import Scheduling
from mailroom.testing.api import NOW, Memory, TestClient
from mailroom.testing.scheduler import MemoryScheduler


@pytest.fixture
def memory() -> Memory:
    """An empty installation."""
    return Memory()


def test_ready_and_metrics_say_when_the_scheduler_last_worked(memory: Memory) -> None:
    """Sweeps, watch and recurring sends start by schedules alone: when these stop, nothing else would say so."""
    an_hour_ago = NOW - timedelta(hours=1)
    stopped = Scheduling(last_worked_at=an_hour_ago, active=("watch",), every=timedelta(minutes=5))
    client = TestClient(create_app(replace(memory.services(), scheduler=MemoryScheduler(stopped))))

    ready, metrics = client.get("/readyz"), client.get("/metrics").text.splitlines()

    said = {"last_worked_at": an_hour_ago.isoformat(), "silent": True, "without_runs": []}
    assert (ready.status_code, ready.json()["scheduler"]) == (200, said)
    assert f"mailroom_scheduler_last_worked_timestamp_seconds {int(an_hour_ago.timestamp())}" in metrics
    assert "mailroom_scheduler_silent 1" in metrics


def test_a_prefect_that_is_away_leaves_the_scheduler_out(memory: Memory) -> None:
    """A guess would be worse than nothing: the time of the last answer is not the time of the last work."""
    client = TestClient(create_app(replace(memory.services(), scheduler=MemoryScheduler(None))))

    assert client.get("/readyz").json()["scheduler"] is None
    assert "mailroom_scheduler" not in client.get("/metrics").text
