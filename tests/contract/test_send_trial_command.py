"""`mailroom send --preview`, `--dry-run` and `--test-to`, and files from spreadsheets, against the API behind a real server."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from mailroom.cli._app import app
from mailroom.domain.errors import ConfigurationError
from mailroom.testing.api import TestClient
from mailroom.testing.archive import MemoryArchive
from tests.contract.test_send_command import _outside, run, sending, stopped
from tests.support.batch_requests import kept, sent

CASES = Path(__file__).parents[1] / "data" / "batches"
_ = _outside  # the shell of each test: two files, an API


def test_a_preview_shows_one_mail_and_sends_nothing(engine: Engine) -> None:
    """With a number or without one, the row as the spreadsheet counts it."""
    shown = sending("--preview", "2").stdout
    first = sending("--preview").stdout
    programs = json.loads(sending("--preview", "--json").stdout)

    assert "row          4, recipient 2 of 2" in shown
    assert "to           Bob Moore <bob@users.test>" in shown
    assert "subject      Invoice for Bob" in shown
    assert "  Reply-To: desk@acme.test" in shown
    assert "text\nDear Bob,\n\npay 2.\n" in shown
    assert shown.endswith("preview: nothing was submitted\n")
    assert "recipient 1 of 2" in first
    assert (programs["preview"], programs["to"], programs["text"]) == (1, "ada@users.test", "Dear Ada,\n\npay 1.\n")
    assert kept(engine) == 0


@pytest.mark.parametrize(
    "given", [("--preview", "3"), ("--preview", "0"), ("--preview", "2", "--dry-run"), ("--preview", "-1")]
)
def test_a_preview_of_what_is_not_there_fails_and_sends_nothing(engine: Engine, given: tuple[str, ...]) -> None:
    """A number that is passed over would send the batch."""
    ended = CliRunner().invoke(
        app, ["send", "people.csv", "--template", "letter.txt", "--from", "desk@acme.test", *given]
    )

    assert ended.exit_code != 0
    assert kept(engine) == 0


def test_a_test_mail_is_one_mail_to_its_author(engine: Engine, archive: MemoryArchive, api: TestClient) -> None:
    """With the data of a recipient; the letter itself goes afterwards under the same key."""
    test = json.loads(sending("--test-to", "me@acme.test", "--preview", "2", "--key", "november", "--json").stdout)
    plain = sending("--test-to", "me@acme.test").stdout
    real = json.loads(sending("--key", "november", "--json").stdout)

    [mail] = sent(engine, test["id"], archive)
    assert (mail.to.address, mail.subject) == ("me@acme.test", "Invoice for Bob")
    assert "1 messages submitted as batch" in plain
    assert (real["messages"], real["repeated"]) == (2, False)
    api.post("/v1/suppressions", json={"addresses": ["me@acme.test"]})
    ended = CliRunner().invoke(
        app, ["send", "people.csv", "--template", "letter.txt", "--from", "desk@acme.test", "--test-to", "me@acme.test"]
    )
    assert "this address is suppressed" in ended.stderr
    assert isinstance(ended.exception, ConfigurationError)


def test_a_dry_run_names_no_quota_where_there_is_none() -> None:
    """People would look for a limit that nobody set."""
    shown = dict(line.split(None, 1) for line in sending("--dry-run").stdout.splitlines())

    assert shown["quota"].endswith("no limit")
    assert shown["done"].endswith(" at the earliest, the provider's rate is unknown today")


def test_a_file_of_a_german_spreadsheet_is_read_and_the_encoding_said(engine: Engine) -> None:
    """Issue E: `excel-de-cp1252.csv`; its decimal comma is a fault of its row."""
    Path("letter.txt").write_text("Subject: Hallo {{ name }}\n\nBitte zahlen: {{ betrag }}\n")

    ended = sending("--preview", file=str(CASES / "excel-de-cp1252.csv"))

    assert "read as Windows-1252 (Western European)" in ended.stderr
    assert "subject      Hallo Jürgen" in ended.stdout
    Path("letter.txt").write_text("Subject: Hallo\n\n{{ name }}\n{{ betrag|money('EUR', 'de') }}\n")
    ended = CliRunner().invoke(app, ["send", str(CASES / "excel-de-cp1252.csv"), "--template", "letter.txt"])
    assert "row 2: text: `betrag|money` is not a plain number, line 2; write 1234.5" in ended.stderr
    assert kept(engine) == 0


def test_blank_cells_and_columns_with_blanks_have_their_words_in_a_letter(engine: Engine) -> None:
    """Issue E: `empty-name.csv` with `letter-default.txt`, and `space-header.csv`."""
    default = sending("--preview", file=str(CASES / "empty-name.csv"), template=str(CASES / "letter-default.txt"))
    Path("letter.txt").write_text("Subject: Hello\n\n{{ First_Name }} {{ e_mail_2 }}\n")
    spaced = sending("--preview", file=str(CASES / "space-header.csv"))

    assert "Dear friend," in default.stdout
    assert "text\nAda x\n" in spaced.stdout
    Path("letter.txt").write_text("Subject: Hello\n\nDear {{ name }},\n")
    assert (
        "row 2: text: `name` is missing in the data, line 1"
        in run(
            "send",
            str(CASES / "empty-name.csv"),
            "--template",
            "letter.txt",
            "--from",
            "desk@acme.test",
            "--dry-run",
            code=1,
        ).stderr
    )
    Path("people.csv").write_text("to,First Name,First_Name\nada@users.test,a,b\n")
    assert "`First Name` and `First_Name` are both `{{ First_Name }}` in a template" in stopped()
