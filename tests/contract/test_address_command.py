"""`mailroom address import` and `remove` on PostgreSQL; and `mailroom replay` of mail that was held as too many."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.inbound.sender_limit import SqlSenderLimit
from mailroom.cli.address import app
from mailroom.cli.replay import app as replay_app
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.received_email import Arrival, Envelope, ObjectRef, State
from mailroom.settings import Settings
from mailroom.testing.runs import MemoryRuns
from mailroom.wiring import Installation

NOW = datetime(2026, 11, 22, 3, 30, tzinfo=UTC)
GOOD = "Address;User;Tenant;Processor\n@acme.test;;;\nAnna@acme.test;anna;acme;digest\n*@*.bücher.test;all;;\n"


@pytest.fixture(autouse=True)
def installation(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings of an installation that has only the database, in a folder of the test's own."""
    for name, field in Settings.model_fields.items():
        if field.is_required():
            monkeypatch.setenv(f"MAILROOM_{name.upper()}", "nowhere")
    monkeypatch.setenv("MAILROOM_DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def imports(text: str | bytes, *words: str) -> Result:
    Path("addresses.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return run("import", "addresses.csv", *words)


def listed() -> list[tuple[str, str, str, str]]:
    lines = json.loads(run("list", "--json").stdout)
    return [(one["address"], one["tenant"], one["user"], one["processor"]) for one in lines]


def test_a_file_is_imported_as_a_spreadsheet_saves_it_and_again(database_url: str) -> None:
    """Any separator, order and case of the header; a dry run only counts; a second import changes nothing."""
    dry = imports(GOOD, "--dry-run", "--json")
    none = listed()
    first, again = imports(GOOD), imports(GOOD.replace("anna;", "eve;"))

    assert json.loads(dry.stdout) == {"read": 3, "added": 3, "other": 0, "dry_run": True}
    assert none == []
    assert first.stdout == "read 3 addresses; 3 are new\n"
    assert again.stdout.startswith("read 3 addresses; 0 are new\n1 are there already with another user")
    assert sorted(listed()) == [
        ("@*.xn--bcher-kva.test", "default", "all", "inbox"),
        ("@acme.test", "default", "everyone", "inbox"),
        ("anna@acme.test", "acme", "anna", "digest"),
    ]


def test_the_tenant_of_rows_is_the_options_unless_they_name_one() -> None:
    """And an apostrophe that a spreadsheet needs before an @ is no part of the address."""
    imports("address,tenant\n'@acme.test,\nbob@acme.test,globex\n", "--tenant", "acme")

    assert listed() == [("@acme.test", "acme", "everyone", "inbox"), ("bob@acme.test", "globex", "bob", "inbox")]


def test_every_fault_is_named_by_its_row_and_nothing_is_imported() -> None:
    """Rows as the spreadsheet counts them, with blank ones; one line each, then the outcome."""
    text = (
        "address,user,tenant,processor\ngood@acme.test,,,\n\nno address,,,\nGood@acme.test,,,\nx@acme.test,,,none\n"
        "y@acme.test,,NOT A TENANT,\n*@*.test,,,\nz@acme.test," + "u" * 201 + ",,\n,only a user,,\n"
    )
    result = imports(text)

    assert isinstance(result.exception, ConfigurationError)
    assert "7 of 8 rows have a fault; nothing was imported" in str(result.exception)
    rows = [line.partition("row ")[2].partition(":")[0] for line in result.stderr.splitlines()]
    assert rows == ["4", "5", "6", "7", "8", "9", "10"]
    assert "the same address as row 2" in result.stderr
    assert listed() == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no addresses"),
        ("address\n", "no addresses"),
        ("mail,user\na@b.test,x\n", "the header must have `address`"),
        ("address,usr\na@b.test,x\n", "`usr` is none of them"),
        ("address,Address\na@b.test,b@b.test\n", "the header must have `address`"),
        ("address,user\na@b.test,x,y,z\n", "row 2"),
        (b"PK\x03\x04 a workbook", "Excel workbook"),
        (b"address\n\x00\x01\n", "not a text file"),
        ('address\n"a@b.test\n', "line"),
    ],
)
def test_a_file_that_is_no_list_of_addresses_is_refused_with_what_to_do(text: str | bytes, what: str) -> None:
    """Before anything is stored."""
    assert what in str(imports(text).exception)
    assert "no such file" in str(run("import", "missing.csv").exception).lower()
    assert listed() == []


def test_many_faults_are_shown_in_part() -> None:
    """A file of another kind has one in each row."""
    result = imports("address\n" + "no address\n" * 50)

    assert result.stderr.splitlines()[20:] == ["and 30 more"]
    assert "50 of 50 rows" in str(result.exception)


@pytest.mark.parametrize(
    "words", [("\udcff/",), ("a\udcff@x.test",), ("x@y.test", "--user", "a\x01"), ("x@y.test", "--user", "\udcff")]
)
def test_what_cannot_be_stored_is_refused_in_one_line(words: tuple[str, ...]) -> None:
    """A byte of another encoding on the command line, as the import and the API refuse it."""
    with pytest.raises(ConfigurationError, match=r"is not an address; use|--user: a user has at most"):
        CliRunner().invoke(app, ["add", *words], catch_exceptions=False)
    assert listed() == []


def test_a_removal_says_what_happens_first() -> None:
    """All or none; other tenants' addresses of the same spelling stay."""
    imports("address,tenant\nanna@acme.test,acme\n@acme.test,acme\nanna@acme.test,globex\n")
    words = ["remove", "Anna@acme.test", "--tenant", "acme"]
    dry = run(*words, "--dry-run")
    before = len(listed())
    missing = run(*words, "bob@acme.test")
    removed = run(*words, "--json")

    assert dry.stdout.splitlines()[0] == "anna@acme.test of tenant acme would be removed"
    assert dry.stdout.splitlines()[-1] == "  its mail goes to tenant globex (exact)"
    assert "bob@acme.test is not an address of tenant acme; nothing was removed" in str(missing.exception)
    assert before == 3
    assert json.loads(removed.stdout)["removed"] == 1
    assert [(one[0], one[1]) for one in listed()] == [("@acme.test", "acme"), ("anna@acme.test", "globex")]
    assert run("remove", "no address").exception is not None


def test_what_was_held_as_too_many_is_released_by_one_command(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quarantined mail, and mail that was filed for other tenants only; a dry run releases nothing."""
    engine = make_engine(database_url)
    ledger, limit = SqlLedger(engine), SqlSenderLimit(engine, 1)
    ids = []
    for name, state in (("a", State.FILED), ("b", State.QUARANTINED), ("c", State.FILED)):
        ref = ObjectRef("mails", f"in/{name}")
        ledger.register(Arrival(ref, Envelope(("anna@acme.test",), "x@y.test", NOW)), now=NOW)
        ids.append(ledger.begin(ref, now=NOW).id)
        limit.held(ids[-1], "x@y.test", [("acme", "anna@acme.test")], received_at=NOW)
        ledger.close(ids[-1], state, now=NOW, reason="too_many" if state is State.QUARANTINED else None)

    result = CliRunner().invoke(replay_app, ["--reason", "too_many", "--dry-run", "--json"])
    by_id = CliRunner().invoke(replay_app, [ids[0], ids[2], "--dry-run"])

    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(one["message_id"], one["state"], one["reason_code"]) for one in found] == [
        ("b", "quarantined", "too_many"),
        ("c", "filed", "too_many"),
    ]
    assert by_id.stdout.splitlines() == [
        "a  already filed; nothing to do",
        "c  filed (too_many) would be replayed",
    ]
    assert limit.withheld(since=None, limit=5) == [ids[2]]

    runs = MemoryRuns()
    monkeypatch.setattr(Installation, "runs", runs)
    released = CliRunner().invoke(replay_app, ["--reason", "too_many"])

    assert [line.partition("  ")[0] for line in released.stdout.splitlines()] == ["b", "c"]
    assert sorted(runs.asked) == [("start", "in/b"), ("start", "in/c")]
    opened = ledger.find(ids[2])
    assert opened is not None
    assert opened.state is State.RECEIVED
    assert limit.withheld(since=None, limit=5) == []
    engine.dispose()
