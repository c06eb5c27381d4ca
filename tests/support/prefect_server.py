"""A Prefect server for one module of tests, on a copy of a database that was migrated once for the whole session."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from unittest.mock import patch

from prefect.testing.utilities import prefect_test_harness

#: The name that Prefect's harness gives to the database in its folder.
_DATABASE = "prefect-test.db"


@contextmanager
def prefect_server() -> Iterator[None]:
    """Run a server, and use it for every client and flow in this process meanwhile."""
    with patch("prefect.testing.utilities.mkdtemp", _folder), prefect_test_harness(server_startup_timeout=120):
        yield


def _folder() -> str:
    """Return a new folder with the database in it. Prefect makes an empty folder here, and migrates for seconds."""
    folder = mkdtemp()
    (Path(folder) / _DATABASE).write_bytes(_migrated())
    return folder


@cache
def _migrated() -> bytes:
    """Return a database of SQLite that is migrated and empty; a megabyte."""
    with TemporaryDirectory() as folder:
        database = Path(folder) / _DATABASE
        env = os.environ | {
            "PREFECT_HOME": folder,
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}",
        }
        prefect = shutil.which("prefect", path=str(Path(sys.executable).parent))
        assert prefect, "prefect is not installed beside this Python"
        subprocess.run(
            [prefect, "server", "database", "upgrade", "-y"], env=env, check=True, capture_output=True, timeout=120
        )
        return database.read_bytes()
