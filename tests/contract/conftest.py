"""Fixtures of the contract tests: an AWS emulator, and an outbound API on a real database."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import Engine

from mailroom.adapters.postgres.delivery.breakers import SqlBreakers
from mailroom.adapters.postgres.delivery.suppressions import SqlSuppressions
from mailroom.adapters.postgres.delivery.unsubscribing import SqlUnsubscribing
from mailroom.adapters.postgres.outbound.message_reader import SqlMessageReader
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.postgres.outbound.quotas import SqlQuotas
from mailroom.adapters.postgres.outbound.terms import SqlTerms
from mailroom.adapters.postgres.tenants.senders import SqlSenders
from mailroom.api.app import create_app
from mailroom.api.services import OutboundServices
from mailroom.sandbox.stand_ins import bucket_owner, object_lock, ses_api
from mailroom.testing.api import Memory, TestClient
from mailroom.testing.archive import MemoryArchive
from mailroom.testing.runs import MemoryRuns
from mailroom.testing.uploads import MemoryUploads
from tests.support.batch_requests import ACME, HOLDERS


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    """The URL of moto's server; its state belongs to the whole process, so each test names its own resources."""
    object_lock.like_s3()
    bucket_owner.like_s3()
    ses_api.like_ses()
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(scope="module")
def aws(emulator: str) -> Iterator[str]:
    """The emulator's endpoint in the environment, where boto3 finds it."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", emulator)
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        environment.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        yield emulator


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


@pytest.fixture
def uploads() -> MemoryUploads:
    return MemoryUploads()


@pytest.fixture
def runs() -> MemoryRuns:
    return MemoryRuns()


@pytest.fixture
def api(engine: Engine, archive: MemoryArchive, uploads: MemoryUploads, runs: MemoryRuns) -> TestClient:
    memory = Memory(runs=runs)
    memory.keys.holders.update(HOLDERS)
    ports = (SqlOutbox, SqlMessageReader, SqlSuppressions, SqlQuotas, SqlBreakers, SqlSenders, SqlTerms)
    outbound = OutboundServices(*(port(engine) for port in ports), uploads, unsubscribing=SqlUnsubscribing(engine))
    services = replace(memory.services(), archive=archive, sending=outbound)
    return TestClient(create_app(services), headers=ACME)
