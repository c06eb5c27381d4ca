"""`mailroom suppressions import` and `export` on PostgreSQL."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mailroom.adapters.postgres.delivery.suppressions import SqlSuppressions
from mailroom.adapters.postgres.engine import make_engine
from mailroom.cli.suppressions import app
from mailroom.cli.tenant import app as tenant_app
from mailroom.domain.errors import ConfigurationError
from mailroom.settings import Settings

CSV = "address,tenant,reason,expires_at\nAda@Users.test,acme,hard_bounce,\nbob@users.test,,,2999-01-01\n"


@pytest.fixture(autouse=True)
def installation(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of an installation that has only the database."""
    for name, field in Settings.model_fields.items():
        if field.is_required():
            monkeypatch.setenv(f"MAILROOM_{name.upper()}", "nowhere")
    monkeypatch.setenv("MAILROOM_DATABASE_URL", database_url)


def run(*words: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, words, input=given)


def exported(*words: str) -> list[dict[str, str | None]]:
    found: list[dict[str, str | None]] = json.loads(run("export", "--json", *words).stdout)
    return found


def test_what_was_exported_comes_back(database_url: str) -> None:
    """Moving to another installation preserves who gets no mail, why, and until when."""
    assert run("import", "-", given=CSV).stdout == "read 2 addresses; 2 are new\n"
    first, as_csv = exported(), run("export").stdout
    engine = make_engine(database_url)
    kept = SqlSuppressions(engine)
    for one in first:
        kept.remove(one["tenant"], str(one["address"]))
    engine.dispose()

    assert exported() == []
    assert "2 are new" in run("import", "-", given=as_csv).stdout
    assert [{**one, "message_id": None} for one in exported()] == first
    assert [(one["address"], one["tenant"], one["reason"]) for one in first] == [
        ("ada@users.test", "acme", "hard_bounce"),
        ("bob@users.test", None, "manual"),
    ]


def test_importing_again_changes_nothing(tmp_path: Path) -> None:
    """A file may be imported twice; JSON gives the same result."""
    file = tmp_path / "list.json"
    file.write_text(json.dumps([{"address": "ada@users.test"}]))

    assert json.loads(run("import", str(file), "--json").stdout) == {"read": 1, "added": 1}
    assert json.loads(run("import", str(file), "--json").stdout) == {"read": 1, "added": 0}


def test_tenant_is_given_for_those_that_have_none() -> None:
    """A list of one customer has no tenant column."""
    run("import", "-", "--tenant", "acme", given="address\nada@users.test\n")

    assert [one["tenant"] for one in exported()] == ["acme"]
    assert exported("--tenant", "other") == []


def test_ended_suppressions_are_exported_when_asked_for() -> None:
    """They suppress nothing, but are history."""
    ended = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    run("import", "-", given=f"address,expires_at\nada@users.test,{ended}\n")

    assert exported() == []
    assert len(exported("--expired")) == 1


def test_no_formula_reaches_a_spreadsheet() -> None:
    """B30: an address may begin with an equals sign; a spreadsheet would run it. It is imported unchanged."""
    run("import", "-", given=json.dumps([{"address": "=cmd@users.test"}]))

    output = run("export").stdout

    assert "\n'=cmd@users.test," in output
    assert "0 are new" in run("import", "-", given=output).stdout


@pytest.mark.parametrize(
    "given",
    [
        "address\nnot an address\n",
        "name\nada@users.test\n",
        "[1]",
        "[{",
        '[{"address": ""}]',
        '[{"address": "a\\u0000@users.test"}]',
        '[{"address": "a\\ud800@users.test"}]',
        "address,since\na@b.test,x\n",
    ],
)
def test_a_file_with_a_fault_changes_nothing(given: str) -> None:
    """All or nothing: after half an import it is unknown which half."""
    result = run("import", "-", given=given)

    assert isinstance(result.exception, ConfigurationError)
    assert exported() == []


def test_a_file_that_is_not_there_is_named() -> None:
    """The most common mistake."""
    result = run("import", "nowhere.csv")

    assert isinstance(result.exception, ConfigurationError)
    assert "nowhere.csv" in str(result.exception)


def test_streams_and_scopes_are_exported_filtered_and_imported() -> None:
    """The scope follows from reason and stream; a file that says another one is wrong, and changes nothing."""
    given = "address,tenant,reason,stream\na@users.test,acme,unsubscribe,\na@users.test,acme,unsubscribe,weekly\n"
    assert "2 are new" in run("import", "-", given=given).stdout

    assert [(one["scope"], one["stream"]) for one in exported()] == [("not_transactional", None), ("stream", "weekly")]
    assert len(exported("--scope", "stream")) == len(exported("--stream", "weekly")) == 1
    assert "0 are new" in run("import", "-", given=run("export").stdout).stdout
    for wrong in (
        "tenant,stream\nb@users.test,,weekly",
        "tenant,stream\nb@users.test,acme,Weekly",
        "scope\nb@users.test,stream",
    ):
        ended = run("import", "-", given=f"address,{wrong}\n")
        assert isinstance(ended.exception, ConfigurationError)
    assert len(exported()) == 2


def test_a_tenants_streams_are_set_and_shown_by_a_command(tmp_path: Path) -> None:
    """Options change what they name; a text comes from a file."""
    words = tmp_path / "goodbye.txt"
    words.write_text("Goodbye.\nWe keep your receipts.\n")
    runner = CliRunner()

    runner.invoke(tenant_app, ["streams", "acme", "--covers", "not_transactional", "--transactional", "receipts"])
    ended = runner.invoke(tenant_app, ["streams", "acme", "--text", str(words), "--group", "77=weekly", "--json"])
    wrong = runner.invoke(tenant_app, ["streams", "acme", "--transactional", "No Stream"])

    assert json.loads(ended.stdout) == {
        "tenant": "acme", "covers": "not_transactional", "transactional": ["receipts"], "name": "",
        "text": "Goodbye.\nWe keep your receipts.", "groups": {"77": "weekly"},
    }  # fmt: skip
    assert isinstance(wrong.exception, ConfigurationError)
    assert "transactional: a stream's name" in str(wrong.exception)
    assert "77=weekly" in runner.invoke(tenant_app, ["streams", "acme"]).stdout
