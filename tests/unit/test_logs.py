"""The worker's log for programs."""

import json
import logging
import sys

from mailroom.operations.logs import JsonLines


def test_a_line_has_its_constant_sentence_and_its_facts() -> None:
    """A search for the event finds every occurrence, whatever the ids in it."""
    record = logging.LogRecord(
        "mailroom.listener", logging.WARNING, "x.py", 1, "mail %s failed: %s", ("abc123", "TransientError"), None
    )

    output = json.loads(JsonLines().format(record))

    assert (output["level"], output["logger"]) == ("warning", "mailroom.listener")
    assert output["event"] == "mail %s failed: %s"
    assert output["facts"] == ["abc123", "TransientError"]
    assert output["message"] == "mail abc123 failed: TransientError"


def test_an_exception_is_named_and_not_quoted() -> None:
    """The text of an exception may hold what a sender wrote."""
    try:
        raise ValueError("a subject line")
    except ValueError:
        record = logging.LogRecord("mailroom.worker", logging.ERROR, "x.py", 1, "cannot go on", (), sys.exc_info())

    line = JsonLines().format(record)

    assert json.loads(line)["exception"] == "ValueError"
    assert "subject" not in line
