"""What the watch tells: news at once, what lasts each hour, and nothing in between."""

from datetime import UTC, datetime, timedelta

from mailroom.operations.monitoring import REMIND_AFTER, due_findings

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def test_a_fact_is_told_when_it_is_new_and_not_again_while_it_is_young() -> None:
    """The watch looks every five minutes; twelve alarms an hour about one dead letter are eleven too many."""
    due, output = due_findings({"dead letters"}, {}, now=NOW)
    again, sent_again = due_findings({"dead letters"}, output, now=NOW + timedelta(minutes=5))

    assert due == {"dead letters"}
    assert again == set()
    assert sent_again == output


def test_what_lasts_is_told_again_each_hour() -> None:
    """An alarm that came at night must still come to whoever begins in the morning."""
    _, output = due_findings({"queue"}, {}, now=NOW)

    assert due_findings({"queue"}, output, now=NOW + REMIND_AFTER)[0] == {"queue"}


def test_what_is_over_is_forgotten_and_new_the_next_time() -> None:
    """It ended and came back: that is another incident."""
    _, output = due_findings({"queue", "zombie"}, {}, now=NOW)
    _, after = due_findings({"zombie"}, output, now=NOW + timedelta(minutes=5))

    assert set(after) == {"zombie"}
    assert due_findings({"queue"}, after, now=NOW + timedelta(minutes=10))[0] == {"queue"}
