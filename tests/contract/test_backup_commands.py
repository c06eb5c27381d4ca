"""`mailroom backup` and `restore` on a real PostgreSQL and an emulated S3: no accidental replacement, nothing sent twice."""

import gc
import json
import os
import re
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text
from typer.testing import CliRunner, Result

from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.operations import dumps
from mailroom.adapters.postgres.operations.restores import SqlRestores
from mailroom.adapters.postgres.schema import MIGRATIONS
from mailroom.cli import backup, restore
from mailroom.cli._backups import restores_of
from mailroom.cli._installation import Opened
from mailroom.domain.errors import ConfigurationError, PermanentError
from mailroom.settings import Settings
from mailroom.testing.counter import MemoryCounter
from tests.contract.test_restores_sql import NOW
from tests.support.sending import office_on
from tests.support.tampering import owner_of

_numbers = count()


@pytest.fixture(autouse=True)
def installation(aws: str, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of an installation that has only database and archive."""
    bucket = f"backup-{next(_numbers)}"
    boto3.client("s3").create_bucket(
        Bucket=bucket,
        CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
        ObjectLockEnabledForBucket=True,
    )
    for name, field in Settings.model_fields.items():
        if field.is_required():
            monkeypatch.setenv(f"MAILROOM_{name.upper()}", "nowhere")
    monkeypatch.setenv("MAILROOM_ACCOUNT_ID", "123456789012")
    monkeypatch.setenv("MAILROOM_REGION", "eu-west-1")
    monkeypatch.setenv("MAILROOM_DATABASE_URL", database_url)
    monkeypatch.setenv("MAILROOM_DATABASE_OWNER_URL", owner_of(database_url))
    monkeypatch.setenv("MAILROOM_ARCHIVE_BUCKET", bucket)
    SqlRestores._seen.clear()


def run(module: Any, *words: str | Path) -> Result:
    """Run a command as a separate process would: connections left open by the one before are closed."""
    gc.collect()
    return CliRunner().invoke(module.app, [str(word) for word in words])


def batch_of_three(database_url: str) -> None:
    engine = make_engine(database_url)
    with office_on(engine) as office:
        office.batch(3, now=NOW)
    engine.dispose()


def statuses(database_url: str) -> list[str]:
    engine = make_engine(database_url)
    with engine.connect() as connection:
        found = list(connection.execute(text("select status from message")).scalars())
    engine.dispose()
    return found


def test_the_counter_is_asked_in_the_archives_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """SES may be in another region, and a bucket answers in its own: a backup must read the counter there."""
    monkeypatch.setenv("MAILROOM_STORAGE_REGION", "eu-central-1")
    monkeypatch.setenv("MAILROOM_ARCHIVE_REGION", "eu-north-1")
    restores: Any = restores_of(Opened())

    assert restores._outside._s3.meta.region_name == "eu-north-1"


def schemas(database_url: str) -> list[str]:
    engine = make_engine(database_url)
    with engine.connect() as connection:
        wanted = "select nspname::text from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'"
        found = list(connection.execute(text(wanted)).scalars())
    engine.dispose()
    return found


def test_a_backup_comes_back_with_what_waited_held(database_url: str, tmp_path: Path) -> None:
    """The whole path: back up, lose, inspect, restore, and the next steps are printed."""
    batch_of_three(database_url)
    file = tmp_path / "mailroom.dump"
    output = json.loads(run(backup, file, "--json").stdout)
    batch_of_three(database_url)

    looked = run(restore, file, "--dry-run")
    assert "replaces 0 e-mails, 0 items, 2 batches, 6 messages" in looked.stderr
    assert statuses(database_url) == ["accepted"] * 6

    done = run(restore, file)

    assert "3 messages of 1 batches are held" in done.stdout, done.stdout + str(done.exception)
    assert "mailroom batch list --held" in done.stdout
    assert statuses(database_url) == ["held"] * 3
    assert output["bytes"] == file.stat().st_size
    assert json.loads((tmp_path / "mailroom.dump.json").read_text())["revision"] == output["revision"]


def test_a_backup_is_never_replaced(tmp_path: Path) -> None:
    """Yesterday's backup may be the only complete one."""
    file = tmp_path / "mailroom.dump"
    file.write_text("yesterday's")

    assert isinstance(run(backup, file).exception, ConfigurationError)

    assert file.read_text() == "yesterday's"
    assert list(tmp_path.iterdir()) == [file]


def test_a_restore_beneath_others_is_refused(database_url: str, engine: Engine, tmp_path: Path) -> None:
    """A worker must not send while its tables are replaced."""
    file = tmp_path / "mailroom.dump"
    run(backup, file)
    batch_of_three(database_url)
    with engine.connect() as connection:
        connection.execute(text("select 1"))
        connection.rollback()

        refused = run(restore, file)

        assert isinstance(refused.exception, ConfigurationError)
        assert "other processes are connected" in str(refused.exception)
        assert statuses(database_url) == ["accepted"] * 3
        assert run(restore, file, "--beneath-running-processes", "--json").exit_code == 0
        assert statuses(database_url) == []


def test_marking_holds_what_waits_in_a_database_that_was_put_back_otherwise(database_url: str) -> None:
    """An RDS snapshot is restored by AWS, not by our command."""
    batch_of_three(database_url)

    assert run(restore, "--mark-only", "--dry-run").stdout == "3 waiting messages would be held\n"
    assert statuses(database_url) == ["accepted"] * 3
    assert "3 messages of 1 batches are held" in run(restore, "--mark-only").stdout
    assert statuses(database_url) == ["held"] * 3


def test_a_backup_of_an_older_schema_is_brought_up_to_date(database_url: str, tmp_path: Path) -> None:
    """Yesterday's backup after today's upgrade."""
    file, engine = tmp_path / "mailroom.dump", make_engine(owner_of(database_url))
    batch_of_three(database_url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes |= {"engine": engine, "applied": []}
    command.downgrade(config, "0012")
    dumps.dump(owner_of(database_url), file)
    (tmp_path / "mailroom.dump.json").write_text(
        json.dumps({"made_at": NOW.isoformat(), "revision": "0012", "counter": 0, "installation": None})
    )
    with engine.begin() as connection:
        connection.execute(text("drop schema public cascade; create schema public"))
    engine.dispose()
    dumps.restore(owner_of(database_url), file)

    done = run(restore, file, "--json")

    assert done.exit_code == 0, done.exception
    assert json.loads(done.stdout)["held"] == {"batches": 1, "messages": 3}
    assert statuses(database_url) == ["held"] * 3
    assert schemas(database_url) == ["public"]


@pytest.mark.parametrize("damage", ["no json", "newer", "not a dump"])
def test_a_file_that_is_no_backup_of_this_mailroom_replaces_nothing(
    database_url: str, tmp_path: Path, damage: str
) -> None:
    """After the tables are gone it would be too late to notice."""
    file = tmp_path / "mailroom.dump"
    run(backup, file)
    batch_of_three(database_url)
    about = tmp_path / "mailroom.dump.json"
    if damage == "no json":
        about.unlink()
    elif damage == "newer":
        about.write_text(about.read_text().replace('"revision": "00', '"revision": "99'))
    else:
        file.write_bytes(b"PGDMP" + b"\0" * 100)

    assert isinstance(run(restore, file).exception, (ConfigurationError, PermanentError))

    assert statuses(database_url) == ["accepted"] * 3


def test_the_tools_get_the_password_in_their_environment(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command line is readable by everybody on the machine; and an old pg_dump on PATH is skipped."""
    tool = tmp_path / "pg_dump"
    tool.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && { echo "pg_dump (PostgreSQL) 99.1"; exit; }\n'
        f'echo "$@" > {tmp_path}/words; echo "$PGPASSWORD $PGDATABASE" > {tmp_path}/environment; exit 3\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(PermanentError, match="pg_dump failed"):
        dumps.dump(database_url, tmp_path / "file")

    assert "for-tests-only" not in (tmp_path / "words").read_text()
    assert (tmp_path / "environment").read_text() == f"for-tests-only {database_url.rpartition('/')[2]}\n"
    assert not (tmp_path / "file").exists()


def test_a_machine_without_the_tools_says_what_to_install(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One clear line that says what to install."""
    monkeypatch.setattr(dumps, "_candidates", lambda name: iter(()))

    with pytest.raises(
        ConfigurationError, match="pg_dump of PostgreSQL 18 or newer is needed: install postgresql-client-18"
    ):
        dumps.dump(database_url, Path("/tmp/never"))


def test_a_cut_dump_of_another_schema_replaces_nothing(database_url: str, tmp_path: Path) -> None:
    """Its table of contents is complete; that the rest is missing shows only during the restore."""
    file, about = tmp_path / "mailroom.dump", tmp_path / "mailroom.dump.json"
    batch_of_three(database_url)
    run(backup, file)
    about.write_text(re.sub('"revision": "[0-9]+"', '"revision": "0012"', about.read_text()))
    file.write_bytes(file.read_bytes()[:-40])

    assert isinstance(run(restore, file).exception, PermanentError)

    assert statuses(database_url) == ["accepted"] * 3
    assert schemas(database_url) == ["public"]


def test_what_others_held_first_is_counted_too(database_url: str) -> None:
    """A worker that runs during the restore may hold batches before the command does: "0 are held" would be wrong."""
    batch_of_three(database_url)
    run(restore, "--mark-only")

    assert "3 messages of 1 batches are held" in run(restore, "--mark-only").stdout


def test_a_backup_needs_no_s3(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup must work while the archive is unreachable."""
    counter = MemoryCounter()
    counter.down = True
    monkeypatch.setattr(backup, "restores_of", lambda opened: SqlRestores(opened.engine, counter))
    batch_of_three(database_url)
    engine = make_engine(database_url)
    SqlRestores(engine, MemoryCounter()).start()
    engine.dispose()
    SqlRestores._seen.clear()

    done = run(backup, tmp_path / "mailroom.dump")

    assert done.exit_code == 0, done.exception
    assert json.loads((tmp_path / "mailroom.dump.json").read_text())["counter"] == 1
