"""`mailroom archive verify`: every alteration that an administrator of the database can make is named, by check and subject."""

from collections.abc import Iterator

import psycopg
import pytest

from mailroom.sandbox.stack.postgres import Postgres
from tests.support.archive_store import store_on
from tests.support.small_archive import SmallArchive, archive_on, named
from mailroom.adapters.postgres.engine import make_engine


@pytest.fixture(scope="module")
def archive(postgres: Postgres, emulator: str) -> Iterator[SmallArchive]:
    """An archive that no test alters; tests copy its database."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("create database small_archive template mailroom")
    url = postgres.url("small_archive")
    engine = make_engine(url)
    made = archive_on(store_on(emulator, engine), url)
    engine.dispose()
    yield made


def test_an_untouched_archive_passes(archive: SmallArchive) -> None:
    report = archive.verify()

    assert named(report) == set(), report.results

