"""What a drill concludes from its figures."""

from typing import Any

import pytest

from mailroom.sandbox.drills.drill import Outcome
from mailroom.sandbox.drills.send_drill import SendOutcome

KINDS = [Outcome, SendOutcome]
ENDED_WELL: dict[str, Any] = {"seed": 1, "drained_s": 2.0, "found": {"clean": True, "wrong": {}}}


@pytest.mark.parametrize("kind", KINDS)
def test_a_drill_whose_kills_at_random_met_mails_is_clean(kind: Any) -> None:
    """Not each of them has to."""
    outcome = kind(kills=30, kills_at_work=11, points=["before put"], **ENDED_WELL)

    assert outcome.is_clean
    assert not outcome.as_json()["proves_nothing"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_drill_at_crash_points_alone_needs_no_others(kind: Any) -> None:
    """A worker that dies at a crash point was working, by definition."""
    assert kind(kills=2, points=["before put", "after put"], **ENDED_WELL).is_clean


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kills", [0, 361])
def test_a_drill_whose_kills_met_no_work_is_not_clean_and_says_so(kind: Any, kills: int) -> None:
    """On a machine that is too busy to process a mail, nothing is lost either."""
    outcome = kind(kills=kills, **ENDED_WELL)

    assert not outcome.is_clean
    assert outcome.as_json()["proves_nothing"]


@pytest.mark.parametrize("status", ["queued", "sending", "failed"])
def test_a_drill_of_batches_wants_every_mail_dispatched_or_unknown(status: str) -> None:
    """The receiving end refuses nothing, so each mail has an end, and no other."""
    at_work: dict[str, Any] = {"kills": 30, "kills_at_work": 11, **ENDED_WELL}

    assert SendOutcome(statuses={"dispatched": 90, "unknown": 3}, **at_work).is_clean
    assert not SendOutcome(statuses={"dispatched": 90, status: 1}, **at_work).is_clean


def test_what_the_check_found_is_counted_as_lost_or_twice() -> None:
    """The check has its own words, which these figures sum up."""
    wrong = {"lost": 1, "not received": 2, "received twice": 3, "sent twice": 4, "strange mail": 5}
    outcome = SendOutcome(seed=1, found={"clean": False, "wrong": wrong})

    assert (outcome.lost, outcome.twice) == (3, 7)
