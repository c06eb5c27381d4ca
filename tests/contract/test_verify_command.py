"""`mailroom archive verify`: what people and programs read, and the exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine
from typer.testing import CliRunner

from mailroom.adapters.aws.clients import client
from mailroom.cli import _archive_verify as command
from mailroom.cli import archive
from mailroom.domain.errors import ConfigurationError
from mailroom.testing.api import settings
from tests.support.archive_store import store_on
from tests.support.small_archive import SmallArchive, administrator, archive_on


@pytest.fixture
def small(engine: Engine, database_url: str, aws: str, monkeypatch: pytest.MonkeyPatch) -> SmallArchive:
    made = archive_on(store_on(aws, engine), database_url)
    changes = {"database_url": SecretStr(database_url), "archive_bucket": made.store.bucket, "archive_account": ""}
    found = settings().model_copy(update=changes)
    monkeypatch.setattr(command, "load_settings", lambda: found)
    monkeypatch.setattr(command, "use_stack_environment", lambda: None)
    return made


def run(*arguments: str) -> Any:
    return CliRunner().invoke(archive.app, ["verify", *arguments], catch_exceptions=False)


def test_an_archive_that_is_intact_is_counted_check_by_check(small: SmallArchive) -> None:
    whole, mail, listing = run(), run(small.emails[0], "--json"), run("--listing", "--tenant", "acme")

    report = json.loads(mail.output)
    assert (whole.exit_code, mail.exit_code, listing.exit_code) == (0, 0, 0), whole.output
    assert "objects  object_bytes       4 PASS" in whole.output.splitlines()
    assert whole.output.splitlines()[-1] == "nothing failed"
    assert report["intact"] is True
    assert report["checks"]["mail"]["item_fields"] == {"PASS": 2}
    assert "no bytes, manifests or locks were read" in listing.output


def test_what_was_altered_is_one_line_and_the_exit_code(small: SmallArchive) -> None:
    with administrator(small.database_url) as admin:
        [[item]] = admin.run("update inbox_item set text = 'Pay.' where tenant = 'acme' returning id::text")

    said = run(small.emails[0])

    [line] = [one for one in said.output.splitlines() if one.startswith("FAIL")]
    assert said.exit_code == 1
    assert line.startswith(f"FAIL  item_fields  {item}  its fields or files do not have the digest")
    assert said.output.splitlines()[-1] == "1 failures: docs/archive.md says what to do about each"


def test_an_unknown_id_and_what_is_no_id_are_refused(small: SmallArchive) -> None:
    """An id with a typing error must not look like a mail that passes."""
    unknown = run("00000000-0000-0000-0000-000000000000")

    assert unknown.exit_code == 2
    assert "is neither in the database nor in the archive" in unknown.output
    for wrong in (("lease",), ("acme/00", "--tenant", "acme"), ("--tenant", "A B")):
        with pytest.raises(ConfigurationError):
            run(*wrong)


@pytest.mark.parametrize(
    ("auditor", "expected"), [("", ["process", "copies"]), ("auditor", ["auditor", "auditor"])], ids=["none", "auditor"]
)
def test_each_place_is_read_with_the_auditors_credentials_or_those_that_write_it(
    auditor: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Second copies may be of another account, which the credentials of the process cannot read."""
    keys = "\n".join(
        f"[{name}]\naws_access_key_id = {name}\naws_secret_access_key = secret" for name in ("copies", "auditor")
    )
    (tmp_path / "credentials").write_text(keys)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "process")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    changes = {
        "archive_copy_bucket": "copies",
        "archive_copy_profile": "copies",
        "archive_auditor_profile": auditor,
    }

    client.cache_clear()
    places = command.installation_of(settings().model_copy(update=changes)).places
    client.cache_clear()

    assert [one.s3._request_signer._credentials.access_key for one in places] == expected
