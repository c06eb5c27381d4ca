"""The short form of `make soak`: mail, batches, schedules, restarts of workers, PostgreSQL and Prefect; then nothing waits."""

import pytest

from mailroom.sandbox.drills.soak import soak


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_three_minutes_of_life_leave_nothing_behind() -> None:
    """Whether memory grows takes half an hour; everything else that a soak proves, this proves."""
    outcome = soak(minutes=3, say=print)

    assert outcome.reasons() == []
    assert outcome.counts["delivery events"] > 0
    assert {"postgres", "prefect", "worker-restarted"} == outcome.made.keys()
