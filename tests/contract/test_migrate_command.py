"""`mailroom migrate` on a real database, as a deployment runs it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from mailroom.adapters.postgres.schema import this_code
from mailroom.adapters.postgres.schema_upgrade import refuse_start, schema_status, upgrade
from mailroom.cli.migrate import app
from mailroom.domain.errors import MailroomError, PermanentError
from mailroom.sandbox.stack.postgres import Postgres
from mailroom.settings import CHECKOUT, Settings
from tests.support.tampering import owner_of

NEWEST = this_code().newest
REQUIRED = {name: "x" for name, field in Settings.model_fields.items() if field.is_required()}


@pytest.fixture
def empty_url(postgres: Postgres) -> str:
    """The URL of an empty database."""
    name = f"empty_{time.monotonic_ns()}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return postgres.url(name)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Run the command on a database; return its exit code and output. 1 stands for an error of the tree."""

    def ran(url: str, *words: str) -> tuple[int, str]:
        monkeypatch.setenv("MAILROOM_DATABASE_URL", url)
        ended = CliRunner().invoke(app, words)
        if ended.exception is not None and not isinstance(ended.exception, SystemExit):
            assert isinstance(ended.exception, MailroomError)
            return 1, str(ended.exception)
        return ended.exit_code, ended.output

    return ran


def execute(url: str, *statements: str) -> list[tuple[object, ...]]:
    with psycopg.connect(owner_of(url), autocommit=True) as connection:
        answers = [connection.execute(one) for one in statements]
        return answers[-1].fetchall() if answers[-1].description else []


def test_it_says_from_where_to_where_and_then_that_nothing_is_to_be_done(
    run: Callable[..., tuple[int, str]], empty_url: str
) -> None:
    """A deployment's log must show which migration ran."""
    first = run(empty_url, "--json")
    second = run(empty_url)

    assert first[0] == 0
    done = json.loads(first[1])
    assert (done["from"], done["to"], done["applied"][0], done["applied"][-1]) == (None, NEWEST, "0001", NEWEST)
    assert second[0] == 0
    assert second[1].startswith(f"the schema is at {NEWEST}, the newest; nothing changed\n")


def test_check_and_dry_run_change_nothing_and_say_what_is_missing(
    run: Callable[..., tuple[int, str]], empty_url: str
) -> None:
    """A pipeline checks before it decides; the SQL is for review before it is run."""
    check, dry_run = run(empty_url, "--check"), run(empty_url, "--dry-run")

    assert check[0] == 1
    assert "has no Mailroom schema" in check[1]
    assert f"{NEWEST}  " in check[1]
    assert dry_run[0] == 0
    assert "CREATE TABLE inbound_email" in dry_run[1]
    assert "insert into schema_serves" in dry_run[1]
    assert execute(empty_url, "select to_regclass('alembic_version')") == [(None,)]


def test_the_sql_of_a_dry_run_makes_the_schema_that_migrating_makes(
    run: Callable[..., tuple[int, str]], empty_url: str
) -> None:
    """Where Mailroom may not change tables, a person runs the SQL, so it must be complete."""
    sql = json.loads(run(empty_url, "--dry-run", "--json")[1])["sql"]
    execute(empty_url, sql)

    assert run(empty_url, "--check") == (0, f"the schema is at {NEWEST}, the newest\n")


def test_several_at_once_run_each_migration_once(empty_url: str) -> None:
    """Every replica of a deployment may run it at its start."""
    command = [sys.executable, "-m", "mailroom.cli", "migrate", "--json"]
    environment = os.environ | {"MAILROOM_DATABASE_URL": empty_url}
    with psycopg.connect(empty_url) as lock:
        lock.execute("select pg_advisory_xact_lock(5318008)")
        started = [
            subprocess.Popen(command, env=environment, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        deadline = time.monotonic() + 60
        while execute(empty_url, "select count(*) from pg_locks where locktype = 'advisory' and not granted") != [(2,)]:
            assert time.monotonic() < deadline, "both wait for the lock"
            time.sleep(0.1)
    done = [json.loads(one.communicate(timeout=60)[0]) for one in started]

    assert [one.returncode for one in started] == [0, 0]
    assert sorted(len(one["applied"]) for one in done) == [0, len(this_code().revisions)]
    assert {one["to"] for one in done} == {NEWEST}
    assert schema_status(empty_url).fault is None


def test_a_newer_schema_is_left_alone(run: Callable[..., tuple[int, str]], database_url: str) -> None:
    """After a rollback of the code its migrate job runs on the newer schema: a downgrade would lose data written since."""
    execute(database_url, "update alembic_version set version_num = '9999'")
    serving, checked = run(database_url), run(database_url, "--check")
    execute(database_url, "update schema_serves set oldest_code = 99")
    refusing, refused = run(database_url), run(database_url, "--check")

    assert serving[0] == 1
    assert "newer than this version and still compatible: start this version without migrating" in serving[1]
    assert checked == (0, f"the schema is at 9999, newer than this version's {NEWEST}, which is still compatible\n")
    assert refusing[0] == 1
    assert "no longer compatible; nothing was changed" in refusing[1]
    assert refused[0] == 1
    assert execute(database_url, "select version_num from alembic_version") == [("9999",)]


def test_what_no_migration_brings_back_is_named(run: Callable[..., tuple[int, str]], database_url: str) -> None:
    """A renamed table: `migrate` has nothing to run, and must not report success."""
    execute(database_url, "alter table worker rename to away")

    check, migrated = run(database_url, "--check"), run(database_url)

    assert check[0] == 1
    assert "worker.paused_by is missing" in check[1]
    assert migrated[0] == 1
    assert "lacks" in migrated[1]


def test_a_migration_that_fails_changes_nothing(empty_url: str) -> None:
    """All pending migrations are one transaction."""
    execute(empty_url, "create table reconciliation (id int)")

    with pytest.raises(PermanentError, match="nothing was changed") as caught:
        upgrade(empty_url)

    assert caught.value.facts["migration"] == "0006"
    assert execute(empty_url, "select to_regclass('inbound_email')") == [(None,)]


@pytest.mark.parametrize("program", ["deployments.worker", "mailroom.api.serve"])
def test_a_process_refuses_to_start_on_a_schema_that_does_not_fit(program: str, empty_url: str, tmp_path: Path) -> None:
    """On an empty schema a worker reported "ready" and sent every mail to the dead letters."""
    environment = {f"MAILROOM_{name.upper()}": value for name, value in REQUIRED.items()}
    environment |= {"MAILROOM_DATABASE_URL": empty_url, "MAILROOM_PREFECT_API_URL": "http://127.0.0.1:1/api"}
    environment |= {"PREFECT_HOME": str(tmp_path), "AWS_DEFAULT_REGION": "eu-west-1", "MAILROOM_DATA": str(tmp_path)}

    ended = subprocess.run(
        [sys.executable, "-m", program], env=environment, cwd=CHECKOUT, capture_output=True, text=True, timeout=120
    )

    assert ended.returncode != 0
    said = ended.stderr.strip().splitlines()
    assert said[-1].endswith(f"the database has no Mailroom schema; run `mailroom migrate` (needs={this_code().needs})")
    assert "Traceback" not in ended.stderr


def test_a_database_that_is_away_at_the_start_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """After a power cut all start together; a process that gives up because the database is slower needs a restart by hand."""
    nowhere = make_url(database_url).set(port=1).render_as_string(hide_password=False)

    refuse_start(nowhere)

    assert "the schema cannot be checked yet" in caplog.text


@pytest.mark.parametrize("table", ["skipped_row", "installation", "batch_attempts"])
def test_check_names_what_the_worker_refuses(table: str, database_url: str) -> None:
    """The command imports less than a worker: it reported success for a schema on which no worker started."""
    execute(database_url, f"alter table {table} rename to away")
    command = [sys.executable, "-m", "mailroom.cli", "migrate", "--check"]
    environment = os.environ | {"MAILROOM_DATABASE_URL": database_url}

    ended = subprocess.run(command, env=environment, cwd=CHECKOUT, capture_output=True, text=True, timeout=60)

    assert ended.returncode == 1
    assert f"  {table}." in ended.stdout
