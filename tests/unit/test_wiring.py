"""One engine a process and database, within a budget; a worker's listeners have a small one for themselves."""

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine
from sqlalchemy.pool import QueuePool

from blocks import MailroomDatabase
from mailroom import wiring
from mailroom.adapters.postgres import engines
from mailroom.settings import Settings
from mailroom.wiring import Budget, Installation, engine_of

URL = "postgresql://mailroom:secret@127.0.0.1:1/mailroom"


@pytest.fixture(autouse=True)
def budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reset the budget after the test."""
    monkeypatch.setattr(engines, "_budget", wiring.SERVICE)


def size(engine: Engine) -> Budget:
    pool = engine.pool
    assert isinstance(pool, QueuePool)
    return Budget(pool.size(), pool._max_overflow)


@pytest.mark.parametrize("said", [wiring.WORKER, wiring.CHILD, wiring.SERVICE, wiring.COMMAND])
def test_all_parts_of_a_process_share_one_engine_within_its_budget(said: Budget) -> None:
    """Blocks, commands and services each ask for an engine."""
    wiring.keep_to(said)

    installation = Installation(Settings.model_construct(database_url=SecretStr(URL)))
    block = MailroomDatabase(url=SecretStr(URL))

    assert installation.engine is block.open() is engine_of(URL)
    assert size(installation.engine) == said


def test_work_that_waits_for_the_database_leaves_the_listeners_their_connections() -> None:
    """A heartbeat that waits behind the work loses its lease to another worker."""
    wiring.keep_to(wiring.WORKER)

    listeners = Installation(Settings.model_construct(database_url=SecretStr(URL)), budget=wiring.LISTENERS).engine
    work = MailroomDatabase(url=SecretStr(URL)).open()

    assert listeners is not work
    assert (size(listeners), size(work)) == (wiring.LISTENERS, wiring.WORKER)
    assert sum(one.kept + one.more for one in (wiring.LISTENERS, wiring.WORKER)) == 30


def test_another_database_has_another_engine() -> None:
    """A block may name one."""
    assert engine_of(URL) is not engine_of(URL + "_2")
