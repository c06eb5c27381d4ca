"""A Prefect server for one module of tests, forked with its imports done, on a copy of a database that was migrated once.

In place of `prefect_test_harness`, which knows SQLite alone: on a busy machine a server and its own services lock each
other out there. As that one does, it runs the API without the scheduler and the other services of a lasting server.
"""

import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import httpx
import prefect.context
import psycopg
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
    PREFECT_SERVER_DATABASE_CONNECTION_URL,
    temporary_settings,
)

from mailroom.sandbox.stack.ports import LOOPBACK
from mailroom.sandbox.stack.postgres import Postgres
from tests.support.loopback_ports import free_port
from tests.support.patience import PATIENCE_S
from tests.support.stack_logs import unexpected

#: The database that the first server migrates and fills with Prefect's own block types; copied for all others.
_TEMPLATE = "prefect"
_COPIED = {"PREFECT_API_DATABASE_MIGRATE_ON_START": "0", "PREFECT_API_BLOCKS_REGISTER_ON_START": "0"}
_EVERY = {
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_UI_ENABLED": "0",
    "PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION": "0",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "0",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
    "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "30",
    "DO_NOT_TRACK": "1",
}


class PrefectServers:
    """Starts Prefect servers, forked from one process that has imported Prefect: that takes six seconds of a core."""

    def __init__(self, postgres: Postgres, folder: Path) -> None:
        self._postgres, self._folder, self._numbers = postgres, folder, count(1)
        self._forks = get_context("forkserver")
        self._forks.set_forkserver_preload(["prefect.server.api.server"])
        with self._serving(_TEMPLATE, {}):
            pass

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run a server, and use it for every client and flow in this process meanwhile."""
        name = f"prefect_{next(self._numbers)}"
        with psycopg.connect(self._postgres.url("postgres"), autocommit=True) as connection:
            connection.execute(f'create database "{name}" template "{_TEMPLATE}"')
            with self._serving(name, _COPIED) as ours, temporary_settings(ours):
                # For threads that have no context of their own.
                context = prefect.context.get_settings_context()
                with prefect.context._temporary_global_settings_context(context):
                    yield
                    _drain()
            connection.execute(f'drop database "{name}" with (force)')

    @contextmanager
    def _serving(self, name: str, more: Mapping[str, str]) -> Iterator[dict[object, object]]:
        """Run a server on this database; give the settings of its clients."""
        home, logs, port = self._folder / name, self._folder / f"{name}.logs", free_port()
        logs.mkdir()
        url, database_url = f"http://{LOOPBACK}:{port}/api", self._postgres.socket_url(name, driver="asyncpg")
        environment = {**_EVERY, **more, "PREFECT_HOME": str(home)}
        environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database_url
        process = self._forks.Process(target=_serve, args=(environment, port, logs / "prefect.log"), daemon=True)
        process.start()
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not _is_healthy(url):
                is_starting = process.is_alive() and time.monotonic() < deadline
                assert is_starting, (logs / "prefect.log").read_text()[-3000:]
                time.sleep(0.05)
            yield {
                PREFECT_API_URL: url,
                PREFECT_HOME: home,
                PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False,
                PREFECT_SERVER_DATABASE_CONNECTION_URL: database_url,
            }
        finally:
            process.terminate()
            process.join(timeout=PATIENCE_S)
            process.kill()
            process.join()
        if found := unexpected(logs):
            # No failure: tests delete runs, and end servers that have just begun, under which Prefect stumbles in many words.
            warnings.warn(
                "Prefect's server logged errors:\n" + "\n".join(one.partition("\n")[0] for one in found), stacklevel=1
            )


def _is_healthy(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}/health", timeout=PATIENCE_S).is_success
    return False


def _drain() -> None:
    """Send what this process has still to tell the server."""
    with suppress(RuntimeError):  # No flow has run.
        APILogWorker.instance().drain()
    EventsWorker.drain_all()


def _serve(environment: Mapping[str, str], port: int, log: Path) -> None:
    """Be a Prefect server; the process that forks has imported these, the one that tests does not need them."""
    import uvicorn
    from prefect.server.api.server import create_app

    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.update(environment)
    prefect.context.refresh_global_settings_context()
    options = {"log_level": "error", "lifespan": "on", "timeout_graceful_shutdown": 5}
    uvicorn.run(create_app(), host=LOOPBACK, port=port, **options)
