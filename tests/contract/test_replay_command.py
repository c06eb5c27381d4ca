"""`mailroom replay` on PostgreSQL: what there is, what it would touch, what it did; interrupted, the service goes on."""

import json
from typing import Any

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from mailroom.cli.replay import app
from mailroom.domain.errors import TransientError
from mailroom.domain.inbound.received_email import State
from mailroom.settings import Settings
from mailroom.wiring import Installation
from tests.support.quarantined_mails import SPAM, Desk


@pytest.fixture
def desk(engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(engine)
    for name, field in Settings.model_fields.items():
        if field.is_required():
            monkeypatch.setenv(f"MAILROOM_{name.upper()}", "nowhere")
    monkeypatch.setenv("MAILROOM_DATABASE_URL", database_url)
    monkeypatch.setattr(Installation, "runs", made.runs)
    return made


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def lines(*words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(*words, "--json").stdout.splitlines()]


def test_reasons_are_listed_with_counts(desk: Desk) -> None:
    """What an operator looks at first; for programs one object for each."""
    assert run("--list").stdout == "the quarantine is empty\n"
    desk.receives("lost", "nobody@nowhere.test")
    desk.receives("part", "anna@acme.test", "bob@other.test", verdicts=SPAM)

    said, listed = run("--list").stdout, lines("--list")

    assert "1  no_route  oldest 2026-11-22 03:30 UTC" in said
    assert "1 of them filed for others, and held for some" in said
    assert [(one["reason_code"], one["mails"], one["releasable"]) for one in listed] == [
        ("no_route", 1, False),
        ("spam", 1, True),
    ]
    assert run("--list", "--reason", "spam").exit_code == 1


def test_a_dry_run_says_what_it_would_touch_and_a_release_files_it(desk: Desk) -> None:
    """The list is on stdout, what it touches beside it; then each e-mail with its run."""
    desk.receives("held", "bob@other.test", verdicts=SPAM)
    desk.receives("lost", "nobody@nowhere.test")

    dry = run("--release", "--reason", "spam", "--dry-run")
    assert desk.runs.asked == []
    done = lines("--release", "--reason", "spam")
    desk.processes("held")
    again = run("--release", desk.entry("held").id, desk.entry("lost").id)

    assert dry.stdout.splitlines() == ["held  quarantined (spam) would be replayed"]
    assert "at most 1 new inbox items" in dry.stderr
    assert "1 calls of webhooks" in dry.stderr
    assert [(one["message_id"], one["replayed"]) for one in done] == [("held", True)]
    assert desk.entry("held").state is State.FILED
    assert sorted(again.stdout.splitlines()) == [
        "held  already filed; nothing to do",
        "lost  quarantined (no_route) is not held; nothing to do",
    ]


def test_mails_of_one_recipient_are_replayed(desk: Desk) -> None:
    """After its address was added."""
    desk.receives("one", "New@Acme.test")
    desk.receives("two", "else@acme.test")

    done = run("--recipient", "new@acme.test")

    assert [line.partition("  ")[0] for line in done.stdout.splitlines()] == ["one"]
    assert [key for _, key in desk.runs.asked] == ["in/one"]
    assert run("--recipient", "no address").exit_code == 1


def test_while_prefect_is_away_the_rest_waits_for_the_service(desk: Desk) -> None:
    """The command fails and says where it goes on; nothing has to be typed again."""
    desk.receives("m", "nobody@nowhere.test")
    desk.runs.down = True

    failed = run("--reason", "no_route")

    assert isinstance(failed.exception, TransientError)
    assert "goes on by itself" in str(failed.exception)
    [waiting] = desk.replays.recent(None, limit=5)
    assert desk.states(waiting) == {"waiting": 1}


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--release",),
        ("x", "--reason", "spam"),
        ("--processor", "webhook", "--release"),
        ("--dlq", "--reason", "spam"),
        ("--dlq", "--list"),
        ("--state", "filed"),
        ("--state", "processing", "--release"),
    ],
)
def test_options_that_contradict_each_other_are_refused(desk: Desk, words: tuple[str, ...]) -> None:
    """And what selects nothing."""
    assert run(*words).exit_code == 1
