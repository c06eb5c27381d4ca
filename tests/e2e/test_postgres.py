"""PostgreSQL from the wheel: started, stopped, restarted with its data, and closed to other users."""

from pathlib import Path

import psycopg
import pytest

from mailroom.sandbox.stack.postgres import running_postgres
from tests.support.loopback_ports import free_port


def test_postgres_keeps_its_data_over_a_restart_below_a_closed_folder(tmp_path: Path) -> None:
    """As root the server runs as another user, who may not enter a 0700 folder of root's; it stays closed."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    folder, port = closed / "data", free_port()
    folder.mkdir(mode=0o700)

    with (
        running_postgres(folder, port=port, password="secret") as server,
        psycopg.connect(server.url("mailroom")) as connection,
    ):
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with running_postgres(folder, port=port, password="secret") as server:
        with psycopg.connect(server.url("mailroom")) as connection:
            row = connection.execute("SELECT answer FROM kept").fetchone()
            names = connection.execute("SELECT datname FROM pg_database").fetchall()
        with psycopg.connect(f"host={server.socket_folder()} port={port} user=mailroom password=secret dbname=prefect"):
            pass

    assert row == (42,)
    assert {("prefect",), ("mailroom",)} <= set(names)
    assert closed.stat().st_mode & 0o777 == folder.stat().st_mode & 0o777 == 0o700


def test_postgres_refuses_a_wrong_password_on_every_way_in(tmp_path: Path) -> None:
    port = free_port()
    with running_postgres(tmp_path, port=port, password="secret") as server:
        for host in ("127.0.0.1", server.socket_folder()):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(f"host={host} port={port} user=mailroom password=guess dbname=mailroom")


def test_postgres_starts_after_its_making_was_interrupted(tmp_path: Path) -> None:
    """Half a cluster is removed and made again."""
    (tmp_path / "postgres.new" / "base").mkdir(parents=True)

    with running_postgres(tmp_path, port=free_port(), password="secret") as server:
        assert server.is_ready()

    assert not (tmp_path / "postgres.new").exists()
