"""The stack's PostgreSQL is killed while its clients are at work: it comes back with its data, on the same port."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mailroom.sandbox.stack.folder import DataFolder
from mailroom.sandbox.stack.leftovers import end_leftovers
from mailroom.sandbox.stack.ports import choose_apart
from mailroom.sandbox.stack.postgres import Postgres
from mailroom.sandbox.stack.processes import ProcessId
from mailroom.sandbox.stack.stack import status
from mailroom.settings import CHECKOUT
from tests.support.patience import PATIENCE_S
from tests.support.supervisor_process import wait_until


@pytest.fixture
def postgres_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Postgres]:
    """`mailroom up` with PostgreSQL and nothing else."""
    folder = DataFolder(tmp_path / "data")
    folder.make()
    monkeypatch.setenv("MAILROOM_DATA", str(folder.path))
    choose_apart(folder.path / "ports.json")
    command = [sys.executable, "-m", "mailroom.cli", "up", "--only", "postgres"]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, cwd=CHECKOUT)
    wait_until(lambda: status()["state"] == "ready" or process.poll() is not None)
    yield Postgres(
        folder.path, json.loads((folder.path / "ports.json").read_text())["postgres"], folder.secret("postgres")
    )
    process.terminate()
    process.wait(timeout=PATIENCE_S)
    end_leftovers(folder)
    assert process.returncode == 0, (tmp_path / "said").read_text()


def test_a_killed_postgres_waits_for_its_busy_children_and_comes_back_with_its_data(postgres_alone: Postgres) -> None:
    """A backend in the middle of a statement does not notice that its server is gone; its shared memory is in use until then."""
    url = postgres_alone.url("mailroom")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table kept as select 42 as answer")
    busy = psycopg.connect(url, autocommit=True)
    backend = ProcessId.of(busy.info.backend_pid)

    def work() -> None:
        with suppress(psycopg.Error):
            busy.execute("select count(*) from generate_series(1, 100000000000) a where a % 7 = 3")

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.5)

    server().signal(signal.SIGKILL)
    wait_until(lambda: part()["restarts"] == 1 and part()["state"] == "ready")
    thread.join(timeout=PATIENCE_S)

    assert not backend.is_alive()
    with psycopg.connect(url) as connection:
        assert connection.execute("select answer from kept").fetchone() == (42,)
    assert "pre-existing shared memory" not in Path(part()["log"]).read_text()


def test_a_postgres_that_was_asked_to_stop_does_not_wait_for_its_clients(postgres_alone: Postgres) -> None:
    """On SIGTERM it accepts no connection and waits until all are closed: connection pools never close theirs."""
    with psycopg.connect(postgres_alone.url("mailroom")) as idle:
        idle.execute("select 1")
        os.kill(server().pid, signal.SIGTERM)

        wait_until(lambda: part()["restarts"] == 1 and part()["state"] == "ready")

        assert part()["last_death"] == "ended with exit code 0"
        with pytest.raises(psycopg.OperationalError):
            idle.execute("select 1")


def part() -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in status()["parts"] if one["name"] == "postgres")
    return found


def server() -> ProcessId:
    return ProcessId.from_json(part())
