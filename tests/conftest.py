"""Fixtures of several tiers: a real PostgreSQL for the session, a new migrated database for each test."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from mailroom.adapters.postgres.engine import make_engine, migrate
from mailroom.sandbox.stack.postgres import Postgres, running_postgres

# Before any of them is imported.
pytest.register_assert_rewrite("tests.support")

from tests.support.loopback_ports import free_port  # noqa: E402

_numbers = count()

# No test times: on a busy machine an example takes longer than on a free one.
settings.register_profile("mailroom", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mailroom")

#: Files of tests/e2e that start what they need by themselves. All others use the stack: one process has them, and starts it once.
_WITHOUT_STACK = (
    "healing", "inbox_in_a_browser", "letter_in_a_browser", "links_in_a_browser", "openid_in_a_browser", "outbound_pages", "postgres", "postgres_heals",
    "stack", "unsubscribe_in_a_browser",
)  # fmt: skip
_ALONE = frozenset(f"tests/e2e/test_{name}.py" for name in _WITHOUT_STACK)


class ByStack(LoadScopeScheduling):  # type: ignore[misc]
    """Divides tests between processes: those of the stack together, all others by file; the largest group is begun first."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "stack" if file.startswith("tests/e2e/") and file not in _ALONE else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByStack:
    return ByStack(config, log)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL server of this test session, with one migrated database as the template of all others."""
    folder: Path = tmp_path_factory.mktemp("postgres")
    with running_postgres(folder, port=free_port(), password="for-tests-only", durable=False) as server:
        migrate(server.url("mailroom"))
        yield server


@pytest.fixture
def database_url(postgres: Postgres) -> str:
    """The URL of a new database with Mailroom's schema and nothing in it."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f'create database "{name}" template mailroom')
    return postgres.url(name)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a new database with Mailroom's schema."""
    made = make_engine(database_url)
    yield made
    made.dispose()
