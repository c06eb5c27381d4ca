"""`mailroom archive`: lists what is wrong in the archive's bucket, and acknowledges what must stay there."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from mailroom.adapters.postgres.archive.findings import SqlArchiveFindings
from mailroom.cli import archive as command
from mailroom.cli._installation import Opened
from mailroom.domain.errors import ConfigurationError
from mailroom.ports.archive_findings import ArchiveFinding, ScannedRange
from mailroom.testing.api import settings

FOUND = (("versions", "acme/aa/1", "v1"), ("versions", "acme/aa/1", "v2"), ("missing deposit", "acme/bb/2", "v3"))


@pytest.fixture
def run(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    opened = Opened()
    opened.engine, opened.settings = engine, settings()
    monkeypatch.setattr(command, "Opened", lambda: opened)
    now = datetime.now(UTC)
    found = [ArchiveFinding(kind, key, version, "remove it", now) for kind, key, version in FOUND]
    SqlArchiveFindings(engine, "archive").note(found, ScannedRange("", ""), now=now)

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(command.app, arguments)

    return run


def test_findings_are_listed_with_what_to_do(run: Callable[..., Any]) -> None:
    """A line has the finding, its place, its age and the remedy; `--json` has all of it."""
    said, output = run("findings").output.splitlines(), json.loads(run("findings", "--json").output)

    assert len(said) == len(output) == 3
    assert said[0].startswith("versions  acme/aa/1  since ")
    assert said[0].endswith("remove it")
    assert output[2]["kind"] == "missing deposit"


def test_stranger_is_acknowledged_with_a_name_and_a_note_and_no_longer_listed(run: Callable[..., Any]) -> None:
    """A year later the record must say who decided it, and why; a dry run changes nothing."""
    tried = run("acknowledge", "acme/aa/1", "--note", "a drill", "--dry-run")
    before = len(json.loads(run("findings", "--json").output))
    one = run("acknowledge", "acme/aa/1", "--version", "v1", "--note", "a drill")
    rest = json.loads(run("acknowledge", "acme/aa/1", "--note", "a drill", "--json").output)
    after = [one["version"] for one in json.loads(run("findings", "--json").output)]

    assert tried.output == "would be acknowledged: versions v1\nwould be acknowledged: versions v2\n"
    assert before == 3
    assert one.output == "acknowledged: versions v1\n"
    assert [(one["version"], one["note"], bool(one["acknowledged_by"])) for one in rest] == [("v2", "a drill", True)]
    assert after == ["v3"]
    assert "a drill" in run("findings", "--all").output


@pytest.mark.parametrize(("key", "why"), [("acme/bb/2", "is damage"), ("acme/none", "is not among the findings")])
def test_only_foreign_objects_can_be_acknowledged(run: Callable[..., Any], key: str, why: str) -> None:
    """One clear line, and an exit code for scripts."""
    refused = run("acknowledge", key, "--note", "never mind")

    assert isinstance(refused.exception, ConfigurationError)
    assert why in str(refused.exception)
