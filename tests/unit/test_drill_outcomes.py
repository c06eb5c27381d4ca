"""What a drill concludes from its figures."""

from functools import partial
from typing import Any

import pytest

from mailroom.sandbox.drills.drill import Outcome
from mailroom.sandbox.drills.drill_archive import ArchiveResult
from mailroom.sandbox.drills.send_drill import SendOutcome

WHOLE = ArchiveResult({"checks": {"mail": {"item_fields": {"PASS": 3}}}, "results": []}, seals=2)
KINDS = [partial(Outcome, archive=WHOLE), SendOutcome]
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


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (ArchiveResult(), "mailroom archive verify was not run"),
        (ArchiveResult(WHOLE.report, seals=0), "no seal was made"),
        (
            ArchiveResult({"results": [{"outcome": "FAIL", "check": "object_there", "subject": "acme/1"}]}, seals=2),
            "archive: FAIL  object_there  acme/1",
        ),
        (
            ArchiveResult({"results": [{"outcome": "NOT_THERE_YET", "check": "mail_entry", "subject": "1"}]}, seals=2),
            "archive: NOT_THERE_YET  mail_entry  1",
        ),
    ],
)
def test_a_drill_whose_archive_does_not_verify_is_not_clean(archive: ArchiveResult, reason: str) -> None:
    """Nothing is under way when it has ended; what is not sealed yet is counted."""
    assert archive.reasons == [reason]
    assert not Outcome(kills=2, points=["before put"], archive=archive, **ENDED_WELL).is_clean


def test_what_is_not_sealed_yet_is_counted_and_is_no_fault_of_the_archive() -> None:
    """A soak ends between two seals; a drill seals at its end."""
    waiting = {"outcome": "NOT_YET_SEALED", "check": "journal_sealed", "subject": "acme/life/2"}
    counts = {"seals": {"journal_sealed": {"NOT_YET_SEALED": 1, "PASS": 4}}}

    archive = ArchiveResult({"checks": counts, "results": [waiting]}, seals=2)

    assert archive.reasons == []
    assert not Outcome(kills=2, points=["before put"], archive=archive, **ENDED_WELL).is_clean
    assert archive.sentence() == "4 checks passed, 0 did not, 1 not sealed yet; 2 seals"
