"""`mailroom migrate` while workers and the HTTP service use the tables, as docs/operations.md has it run."""

import threading
import time
from collections.abc import Callable

import psycopg
import pytest
from alembic import command
from alembic.config import Config

from mailroom.adapters.postgres import engine as postgres_engine
from mailroom.adapters.postgres import schema_upgrade
from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.schema import MIGRATIONS, this_code
from mailroom.adapters.postgres.schema_upgrade import schema_status, upgrade
from mailroom.domain.errors import TransientError
from mailroom.sandbox.stack.postgres import Postgres

#: The release before.
OLD = "0017"
WAITED_FOR = "select from pg_locks where relation = %s::regclass and not granted"


@pytest.fixture
def old_url(postgres: Postgres) -> str:
    """The URL of a database that the release before has migrated."""
    name = f"old_{time.monotonic_ns()}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    engine, config = make_engine(postgres.url(name)), Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = engine
    command.upgrade(config, OLD)
    engine.dispose()
    return postgres.url(name)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_upgrade, "_PAUSE_S", 0.05)


class Beside:
    """A transaction of another process; `waits_until` returns when somebody waits for a table."""

    def __init__(self, url: str, work: Callable[["Beside", psycopg.Connection], None]) -> None:
        self.url, self.failed = url, list[Exception]()
        self.began = threading.Event()
        self._work = work
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Beside":
        self._thread.start()
        assert self.began.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with psycopg.connect(self.url) as connection:
                self._work(self, connection)
        except Exception as error:  # noqa: BLE001 - shown by the test
            self.failed.append(error)

    def waits_until(self, table: str) -> None:
        deadline = time.monotonic() + 30
        with psycopg.connect(self.url, autocommit=True) as connection:
            while connection.execute(WAITED_FOR, [table]).fetchone() is None:
                assert time.monotonic() < deadline, f"the migration waits for {table}"
                time.sleep(0.01)


@pytest.mark.parametrize("deadlock_timeout", ["1s", "1min"])
def test_a_claim_that_locks_in_the_other_order_ends_and_the_schema_is_migrated(
    old_url: str, deadlock_timeout: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads `batch` and then writes `message`; migrations change `message` first. The server ends one, or the wait does."""
    monkeypatch.setattr(postgres_engine, "LONGEST_WAIT_MS", 5_000 if deadlock_timeout == "1s" else 1_500)

    def claim(beside: Beside, connection: psycopg.Connection) -> None:
        connection.execute("select set_config('deadlock_timeout', %s, true)", ["1min"])
        connection.execute("select count(*) from batch")
        beside.began.set()
        beside.waits_until("batch")
        connection.execute("update message set attempts = attempts + 1")

    with psycopg.connect(old_url, autocommit=True) as server:
        name = server.info.dbname
        server.execute(f"alter database {name} set deadlock_timeout = '{deadlock_timeout}'")
    with Beside(old_url, claim) as beside:
        done = upgrade(old_url)

    assert beside.failed == []
    assert (done.begun_at, done.ended_at) == (OLD, this_code().newest)
    assert done.applied == this_code().revisions[this_code().revisions.index(OLD) + 1 :]
    assert "nothing was changed, tries left: 4" in caplog.text


def test_a_writer_that_ends_soon_is_waited_for(old_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Most are: a settle takes milliseconds."""

    def settle(beside: Beside, connection: psycopg.Connection) -> None:
        connection.execute("update message set attempts = attempts + 1")
        beside.began.set()
        beside.waits_until("message")
        time.sleep(1)

    with Beside(old_url, settle) as beside:
        done = upgrade(old_url)

    assert beside.failed == []
    assert done.ended_at == this_code().newest
    assert caplog.text == ""


def test_a_reader_that_stays_holds_up_the_migration_and_no_one_else(
    old_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dump reads for hours. Who comes after the waiting migration waits behind it, so it must not wait for long."""
    monkeypatch.setattr(postgres_engine, "LONGEST_WAIT_MS", 200)
    over = threading.Event()

    def dump(beside: Beside, connection: psycopg.Connection) -> None:
        connection.execute("select count(*) from batch")
        beside.began.set()
        assert over.wait(60)

    with Beside(old_url, dump) as beside:
        with pytest.raises(TransientError, match="nothing was changed; run `mailroom migrate` again") as caught:
            upgrade(old_url)
        over.set()

    assert beside.failed == []
    assert caught.value.facts == {"migration": "0021", "sqlstate": "55P03"}
    assert schema_status(old_url).revision == OLD
    assert upgrade(old_url).ended_at == this_code().newest


def test_one_migration_waits_for_another_as_long_as_it_takes(old_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several replicas that start at once, the others find it done."""
    monkeypatch.setattr(postgres_engine, "LONGEST_WAIT_MS", 100)

    def migration(beside: Beside, connection: psycopg.Connection) -> None:
        connection.execute("select pg_advisory_xact_lock(5318008)")
        beside.began.set()
        time.sleep(1)

    with Beside(old_url, migration) as beside:
        began = time.monotonic()
        upgrade(old_url)

    assert beside.failed == []
    assert time.monotonic() - began > 0.5
