"""The retry schedule of sending."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

import pytest

from mailroom.domain.errors import (
    DailyQuota,
    MailroomError,
    OutcomeUnknown,
    Paused,
    PermanentError,
    PermitExpired,
    RecipientUnavailable,
    Throttled,
    TransientError,
)
from mailroom.outbound.retry_schedule import LONGEST_WAIT_IN_RUN, wait_after

AWAY = TransientError("away")
REFUSED = PermanentError("refused")
LATER = RecipientUnavailable("not now", retry_after_s=600)


def waits(*rounds: Sequence[MailroomError], jitter: float = 1.0, counts: bool = True) -> list[float]:
    """Return the wait in seconds after each of these rounds."""
    failed, found = 0, []
    for results in rounds:
        hold, failed = wait_after(results, failed_rounds=failed, counts=counts, jitter=jitter)
        found.append(hold.total_seconds())
    return found


def test_waits_double_up_to_half_a_minute_and_then_the_batch_is_deferred() -> None:
    """An outage of a minute is waited for in the run; a longer one frees the worker, and the count begins again."""
    assert waits(*[[AWAY]] * 7) == [2, 4, 8, 16, 30, 300, 2]
    assert waits(*[[AWAY]] * 2, jitter=0.5) == [1, 2]


def test_a_message_that_got_an_answer_ends_the_row_of_failures() -> None:
    """A refusal of one message is an answer: the provider is there."""
    assert waits([AWAY], [AWAY], [AWAY, REFUSED], [AWAY], [REFUSED]) == [2, 4, 2, 2, 0]


@pytest.mark.parametrize(
    ("rounds", "seconds"),
    [
        ([[LATER]] * 9, [0] * 9),
        ([[AWAY], [AWAY], [LATER], [AWAY]], [2, 4, 0, 2]),
        ([[AWAY, LATER]] * 6, [2, 4, 8, 16, 30, 300]),
        ([[LATER, PermitExpired("late")]], [1]),
        ([[LATER, REFUSED], [LATER, Paused("paused")]], [0, 900]),
    ],
)
def test_a_recipient_that_is_away_is_no_trouble_of_the_provider(
    rounds: list[list[MailroomError]], seconds: list[float]
) -> None:
    """Alone it proves that the provider works; beside other errors it hides none of them."""
    assert waits(*rounds) == seconds


def test_an_overlapping_round_counts_once() -> None:
    """Two rounds that fail together are one failure."""
    assert waits(*[[AWAY]] * 9, counts=False) == [2] * 9


@pytest.mark.parametrize(
    ("results", "seconds"),
    [
        ([PermitExpired("late"), PermitExpired("late")], 1),
        ([PermitExpired("late"), AWAY], 2),
        ([AWAY, Paused("paused")], 900),
        ([Paused("paused"), DailyQuota("used up")], 3600),
        ([Throttled("slow down", retry_after_s=12), Throttled("slow down", retry_after_s=7)], 12),
        ([Throttled("slow down", retry_after_s=None)], 2),
        ([OutcomeUnknown("cut off")], 0),
    ],
)
def test_the_wait_follows_from_the_most_serious_error(results: list[MailroomError], seconds: float) -> None:
    """The most serious error decides, whatever else failed in the round."""
    assert waits(results) == [seconds]


def test_only_an_outage_defers_by_itself() -> None:
    """Backoff never passes the longest wait of a run, however long the row."""
    found = waits(*[[AWAY]] * 5)

    assert all(earlier < later for earlier, later in pairwise(found))
    assert timedelta(seconds=found[-1]) == LONGEST_WAIT_IN_RUN
