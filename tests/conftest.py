"""Fixtures of several tiers: a real PostgreSQL for the session, a new migrated database for each test."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine

from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.schema_upgrade import upgrade
from mailroom.sandbox.stack.postgres import Postgres, running_postgres

# Before any of them is imported.
pytest.register_assert_rewrite("tests.support")

from tests.support.loopback_ports import free_port  # noqa: E402
from tests.support.tampering import owner_of  # noqa: E402

_numbers = count()

# No test times: on a busy machine an example takes longer than on a free one. The same examples each time: what a change meets is of that
# change; `make test-long` draws others.
settings.register_profile("mailroom", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile(
    "search", settings.get_profile("mailroom"), derandomize=False, max_examples=1_000, print_blob=True
)
settings.load_profile("mailroom")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL server of this test session, with one migrated database as the template of all others."""
    folder: Path = tmp_path_factory.mktemp("postgres")
    with running_postgres(folder, port=free_port(), password="for-tests-only", durable=False) as server:
        upgrade(server.url("mailroom"), server.application_url("mailroom"))
        yield server


@pytest.fixture
def database_url(postgres: Postgres) -> str:
    """The URL of a new database with Mailroom's schema and nothing in it, for the application's limited role."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f'create database "{name}" template mailroom')
    return postgres.application_url(name)


@pytest.fixture
def owner_url(database_url: str) -> str:
    """The URL of that database for its owner, a superuser, as an administrator has it."""
    return owner_of(database_url)


@pytest.fixture
def owner_engine(owner_url: str) -> Iterator[Engine]:
    """An engine on that database for its owner."""
    made = make_engine(owner_url)
    yield made
    made.dispose()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a new database with Mailroom's schema."""
    made = make_engine(database_url)
    yield made
    made.dispose()
