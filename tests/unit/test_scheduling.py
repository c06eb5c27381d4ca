"""When a scheduler counts as stopped: no run ahead, or the creation of the next run is overdue."""

from datetime import UTC, datetime, timedelta

import pytest

from mailroom.ports.scheduler import Scheduling

NOW = datetime(2026, 11, 29, 9, 30, tzinfo=UTC)
FIVE_MINUTES = timedelta(minutes=5)


def scheduling(
    last: timedelta | None = timedelta(minutes=2), *, active: tuple[str, ...] = ("watch",), **more: object
) -> Scheduling:
    worked = None if last is None else NOW - last
    return Scheduling(last_worked_at=worked, active=active, **{"every": FIVE_MINUTES, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "silent"),
    [
        (scheduling(), False),
        (scheduling(timedelta(minutes=14)), False),
        (scheduling(timedelta(minutes=16)), True),
        (scheduling(None), True),
        (scheduling(idle=("watch",)), True),
        (scheduling(timedelta(days=3), every=None), False),
        (scheduling(None, active=(), every=None), False),
        (scheduling(timedelta(minutes=100), every=timedelta(hours=2)), False),
        (scheduling(timedelta(seconds=-5)), False),
    ],
    ids=[
        "it made a run two minutes ago",
        "the next run is a little late",
        "three runs are missing",
        "it never made one",
        "a schedule has nothing ahead",
        "only times of day, all with runs ahead",
        "everything is paused",
        "a slow interval",
        "clocks differ",
    ],
)
def test_a_scheduler_is_silent_when_the_next_run_is_overdue_to_be_made(found: Scheduling, silent: bool) -> None:
    """Runs are created up to an hour ahead: existing ones say nothing about the last minutes."""
    assert found.is_silent(NOW) is silent
