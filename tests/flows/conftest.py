"""Fixtures of the tests of flows and deployments."""

from collections.abc import Iterator

import pytest

from mailroom.sandbox.stack.postgres import Postgres
from tests.support.prefect_server import PrefectServers


@pytest.fixture(scope="session")
def prefect_servers(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> PrefectServers:
    """Prefect servers on the session's PostgreSQL."""
    return PrefectServers(postgres, tmp_path_factory.mktemp("prefect"))


@pytest.fixture(scope="module")
def server(prefect_servers: PrefectServers) -> Iterator[None]:
    """A Prefect server of this module's own."""
    with prefect_servers.running():
        yield
