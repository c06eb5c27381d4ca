"""`mailroom send` with files for each row, metadata in a cell and relative times, against the API on a real database."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from mailroom.cli import _row_files
from mailroom.cli._app import app
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.outbound.message import Limits
from mailroom.testing.api import TestClient, settings
from mailroom.testing.archive import MemoryArchive
from tests.support.batch_requests import kept, sent
from tests.support.http_server import serving

BASE = ("people.csv", "--template", "letter.txt", "--from", "desk@acme.test")


@pytest.fixture(autouse=True)
def _outside(monkeypatch: pytest.MonkeyPatch, api: TestClient, database_url: str, tmp_path: Path) -> Iterator[None]:
    """A shell with the API's address and key, in a folder with a template and two bills; a secret is beside the folder."""
    for name, value in settings().environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MAILROOM_DATABASE_URL", database_url)
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "list"
    (folder / "bills").mkdir(parents=True)
    monkeypatch.chdir(folder)
    Path("letter.txt").write_text("Subject: Invoice for {{ name }}\n\nDear {{ name }}\n")
    for name in ("ada", "bob"):
        Path(f"bills/{name}.pdf").write_text(f"bill of {name}")
    Path("terms; new.pdf").write_text("terms")
    with serving(api.app) as url:
        monkeypatch.setenv("MAILROOM_API_URL", url)
        monkeypatch.setenv("MAILROOM_API_KEY", "acme-key")
        yield


def run(*arguments: str, code: int = 0) -> Result:
    ended = CliRunner().invoke(app, ["send", *BASE, *arguments])
    assert ended.exit_code == code, f"{ended.output}{ended.exception!r}"
    return ended


def stopped(*arguments: str) -> str:
    """Return what the command prints and ends with."""
    with pytest.raises(ConfigurationError) as error:
        CliRunner().invoke(app, ["send", *BASE, *arguments], catch_exceptions=False)
    return str(error.value)


def people(*rows: str, header: str = "to,name,file") -> None:
    Path("people.csv").write_text("\n".join([header, *rows]) + "\n")


def test_each_row_attaches_its_own_files(engine: Engine, archive: MemoryArchive) -> None:
    """One letter, a bill each: by a path beside the list, several in a cell, and a name with the separator in it."""
    people(
        "ada@users.test,Ada,bills/ada.pdf",
        "bob@users.test,Bob, bills/bob.pdf ; terms; new.pdf",
        "eve@users.test,Eve,",
        "fay@users.test,Fay,terms; new.pdf",
    )
    Path("new.pdf").write_text("n")
    Path("terms").write_text("t")

    output = json.loads(run("--attach-column", "file", "--json").stdout)

    mails = {mail.to.address[:3]: mail for mail in sent(engine, output["id"], archive)}
    names = {name: [file.filename for file in mail.attachments] for name, mail in mails.items()}
    assert names == {"ada": ["ada.pdf"], "bob": ["bob.pdf", "terms", "new.pdf"], "eve": [], "fay": ["terms; new.pdf"]}
    assert mails["ada"].attachments[0].content == b"bill of ada"
    assert mails["ada"].attachments[0].content_type == "application/pdf"


def test_several_columns_and_json_name_files(engine: Engine, archive: MemoryArchive) -> None:
    """A list from a program has the same columns; in the API's form it may have attachments already."""
    people("ada@users.test,Ada,bills/ada.pdf,bills/bob.pdf", header="to,name,file,second")
    both = json.loads(run("--attach-column", "file", "--attach-column", "second", "--json").stdout)
    row = {
        "to": "ada@users.test",
        "data": {"name": "A", "f": "bills/bob.pdf"},
        "attachments": [{"filename": "x", "content": "eA=="}],
    }
    Path("people.json").write_text(json.dumps([row]))
    arguments = ["send", "people.json", *BASE[1:], "--attach-column", "f", "--json"]
    api_form = json.loads(CliRunner().invoke(app, arguments).stdout)

    found = [
        [file.filename for file in mail.attachments]
        for one in (both, api_form)
        for mail in sent(engine, one["id"], archive)
    ]
    assert found == [["ada.pdf", "bob.pdf"], ["x", "bob.pdf"]]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("bills/nobody.pdf", "no such file"),
        ("bills", "not a file"),
        ("../secret.txt", "outside the folder of the list"),
        ("linked.txt", "outside the folder of the list"),
        ("/etc/hostname", "outside the folder of the list"),
        ("bills/ada.pdf;bills/nobody.pdf", "no such file"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_file_that_cannot_be_attached_is_named_by_its_row(engine: Engine, cell: str, said: str) -> None:
    """A list may come from others: it must not mail out what else is on the disk. Nothing of it is submitted."""
    Path("linked.txt").symlink_to("../secret.txt")
    people("ada@users.test,Ada,bills/ada.pdf", f'eve@users.test,Eve,"{cell}"')

    outcome = CliRunner().invoke(app, ["send", *BASE, "--attach-column", "file"])

    assert outcome.exit_code != 0
    assert "people.csv, row 3: file `" in outcome.output
    assert said in outcome.output
    assert kept(engine) == 0


def test_every_row_with_a_missing_file_is_named() -> None:
    """A list of hundreds is corrected once, not row by row."""
    people(*(f"u{at}@users.test,U,missing-{at}.pdf" for at in range(3)))

    outcome = CliRunner().invoke(app, ["send", *BASE, "--attach-column", "file"])

    assert [f"row {at}" in outcome.output for at in (2, 3, 4)] == [True] * 3


def test_a_column_that_is_not_there_and_too_many_bytes_are_refused(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is read or sent; the message says what to do instead."""
    people("ada@users.test,Ada,bills/ada.pdf")
    assert "no column `files` for --attach-column; it has file, name" in stopped("--attach-column", "files")

    monkeypatch.setattr(_row_files, "LIMITS", Limits(body=10))
    assert "send the list in parts" in stopped("--attach-column", "file")
    monkeypatch.setattr(_row_files, "LIMITS", Limits(mail=3))
    assert "too large: a mail has at most 3 B" in run("--attach-column", "file", code=1).output
    assert kept(engine) == 0


@pytest.mark.parametrize("cell", ['"{""invoice"": ""7"", ""run"": ""a b""}"', '"{}"', "", " "])
def test_metadata_is_json_in_a_cell(engine: Engine, cell: str) -> None:
    """Each message is found by it later; a blank cell has none. It was refused whatever was in it."""
    people(f"ada@users.test,Ada,{cell}", header="to,name,metadata")

    run()

    with engine.connect() as connection:
        found = connection.execute(text("select metadata from message")).scalar_one()
    assert found == ({"invoice": "7", "run": "a b"} if "invoice" in cell else None)


@pytest.mark.parametrize("cell", ["7", '"[]"', "spring", '"{""invoice"": 7}"', '"{""a"": null}"', '"{"'])
def test_metadata_of_another_shape_is_named_by_its_row(cell: str) -> None:
    """With the shape that is right."""
    people(f"ada@users.test,Ada,{cell}", header="to,name,metadata")

    assert 'people.csv, row 2: `metadata` must be a JSON object of texts, such as {"invoice": "7"}' in stopped()


def test_a_relative_time_with_a_key_is_one_batch(engine: Engine) -> None:
    """A job that is repeated a second later must not send twice, nor be refused as another request."""
    people("ada@users.test,Ada,x")

    first = json.loads(run("--at", "2h", "--key", "k", "--json").stdout)
    again = run("--at", "2h", "--key", "k").stdout
    fixed = [run("--at", "2026-03-14T11:30", "--key", "f").stdout for _ in range(2)]

    assert f"this key was already used: batch {first['id']}" in again
    assert ["already used" in one for one in fixed] == [False, True]
    assert kept(engine) == 2
    with engine.connect() as connection:
        assert connection.execute(text("select count(distinct send_at) from batch")).scalar_one() == 1
