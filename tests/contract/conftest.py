"""An outbound API on a real database, for the tests of what it takes and of what it tells."""

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from mailroom.adapters.sql.following import SqlFollower
from mailroom.adapters.sql.outbox import SqlOutbox
from mailroom.adapters.sql.quotas import SqlQuotas
from mailroom.adapters.sql.suppressions import SqlSuppressions
from mailroom.api.app import create_app
from mailroom.api.services import Outbound
from mailroom.api.testing import Memory, TestClient
from mailroom.testing import MemoryArchive
from tests.contract.handing import ACME, HOLDERS, MemoryShelf


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


@pytest.fixture
def shelf() -> MemoryShelf:
    return MemoryShelf()


@pytest.fixture
def api(engine: Engine, archive: MemoryArchive, shelf: MemoryShelf) -> TestClient:
    memory = Memory()
    memory.keys.holders.update(HOLDERS)
    outbound = Outbound(SqlOutbox(engine), SqlFollower(engine), SqlSuppressions(engine), SqlQuotas(engine), shelf)
    services = replace(memory.services(), archive=archive, sending=outbound)
    return TestClient(create_app(services), headers=ACME)
