"""Findings of the watch: reported at once, again each hour while they last, and not in between."""

from datetime import UTC, datetime, timedelta

from mailroom.operations.monitoring import REMIND_AFTER, due_findings

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def test_a_finding_is_reported_when_it_is_new_and_not_again_within_the_hour() -> None:
    """The watch looks every five minutes; twelve alarms an hour about one dead letter are eleven too many."""
    due, output = due_findings({"dead letters"}, {}, now=NOW)
    again, sent_again = due_findings({"dead letters"}, output, now=NOW + timedelta(minutes=5))

    assert due == {"dead letters"}
    assert again == set()
    assert sent_again == output


def test_a_finding_that_lasts_is_reported_again_each_hour() -> None:
    """An alarm that came at night must reach the operator who starts in the morning too."""
    _, output = due_findings({"queue"}, {}, now=NOW)

    assert due_findings({"queue"}, output, now=NOW + REMIND_AFTER)[0] == {"queue"}


def test_a_finding_that_ended_is_new_the_next_time() -> None:
    """It ended and came back: that is another incident."""
    _, output = due_findings({"queue", "zombie"}, {}, now=NOW)
    _, after = due_findings({"zombie"}, output, now=NOW + timedelta(minutes=5))

    assert set(after) == {"zombie"}
    assert due_findings({"queue"}, after, now=NOW + timedelta(minutes=10))[0] == {"queue"}
