"""Extreme times on the command line: refused by imports, and shown where rows have them."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from mailroom.cli._app import app
from mailroom.domain.errors import ConfigurationError
from mailroom.testing.api import settings
from tests.support.background_loops import Installation


@pytest.fixture(autouse=True)
def _shell(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    for name, value in settings().environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MAILROOM_DATABASE_URL", database_url)


def test_imports_refuse_what_cannot_be_a_time() -> None:
    """Nothing of a file with a fault is stored, and the line of the fault is named."""
    given = "address,expires_at\nada@users.test,2030-01-01\nbob@users.test,9999-12-31T23:59:59-23:59\n"

    ended = CliRunner().invoke(app, ["suppressions", "import", "-"], input=given)

    assert isinstance(ended.exception, ConfigurationError)
    assert "entry 2" in str(ended.exception)
    assert "between 1970-01-01 and 3000-01-01" in str(ended.exception)


@pytest.mark.parametrize("value", ["infinity", "-infinity", "0001-01-01 00:00:00+01", "9999-12-31 23:59:59-12"])
def test_what_rows_have_is_shown_and_exported(engine: Engine, database_url: str, value: str, tmp_path: Path) -> None:
    """An operator must be able to look at a row in order to repair it."""
    installation = Installation(engine, database_url)
    installation.fill()
    installation.spoil_times(value)

    shown = [
        CliRunner().invoke(app, words)
        for any_id in ("batch_id", "message_id", "email_id", "item_id")
        for words in (["trace", installation.ids[any_id]], ["trace", installation.ids[any_id], "--json"])
    ]
    listed = json.loads(CliRunner().invoke(app, ["suppressions", "export", "--expired", "--json"]).stdout)

    assert {(ended.exit_code, str(ended.exception)) for ended in shown} == {(0, "None")}
    assert [one["address"] for one in listed] == ["bob@users.test"]


def test_an_email_whose_envelope_cannot_be_read_is_shown(engine: Engine, database_url: str) -> None:
    """It is traced because something is wrong with it."""
    installation = Installation(engine, database_url)
    installation.fill()
    installation.spoil_shapes("[1]")

    traced = CliRunner().invoke(app, ["trace", installation.ids["email_id"]])

    assert (traced.exit_code, traced.exception) == (0, None)
    assert "envelope  cannot be read" in traced.stdout
