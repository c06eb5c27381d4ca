"""A notification, replay or Quick run that names a foreign object: quarantined once, and never read from S3."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import boto3
import psycopg
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from blocks import InboundMail
from blocks import inbound as inbound_blocks
from deployments.ensure import _ensure_blocks
from flows.receive_email import receive_email
from mailroom.adapters.aws.clients import client
from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.tenants.directory import SqlDirectory
from mailroom.domain.inbound.notifications import read_notification
from mailroom.domain.inbound.received_email import FINAL, Entry, ObjectRef
from mailroom.domain.inbound.routing import Address
from mailroom.sandbox.stack.aws import Names, Rule, provision
from mailroom.sandbox.stack.postgres import Postgres
from mailroom.sandbox.stand_ins.ses_api import like_ses
from mailroom.settings import Settings
from mailroom.testing.notices import s3_notice, ses_notice
from tests.support.loopback_ports import free_port

NAMES = Names(stem="foreigntest", rules=(Rule("faxes", ("faxes.test",), "faxes/"), Rule("inbound", (), "in/")))
OURS, THEIRS = "foreigntest-inbound", "foreigntest-theirs"
RAW = b"From: carl@sender.test\r\nTo: anna@mailroom.test\r\nSubject: Bordereau\r\n\r\nvoici\r\n"


@dataclass
class Emulator:
    """moto, which records each object that is requested."""

    app: Any = field(default_factory=lambda: DomainDispatcherApplication(create_backend_app))
    asked: list[str] = field(default_factory=list)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if "/s3/" in environ.get("HTTP_AUTHORIZATION", ""):
            self.asked.append(environ["PATH_INFO"])
        return self.app(environ, start_response)


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    made = Emulator()
    like_ses()
    server = make_server("127.0.0.1", free_port(), made, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        environment.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        client.cache_clear()
        yield made
    client.cache_clear()
    server.shutdown()
    thread.join()


@pytest.fixture(scope="module")
def installation(emulator: Emulator, server: None, postgres: Postgres) -> Iterator[Settings]:
    """Settings and blocks as `deployments.ensure` makes them; what an operator sets lets plain objects come under `plain/`."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("create database foreign_objects template mailroom")
    elsewhere = dict.fromkeys(("prefect_api_url", "prefect_url", "api_url"), "http://127.0.0.1:9/api")
    settings = Settings(**(provision(NAMES) | elsewhere), database_url=postgres.url("foreign_objects"))
    asyncio.run(_ensure_blocks(settings))

    async def allow_plain() -> None:
        block: Any = await InboundMail.aload("inbound")
        block.plain_prefixes = ["plain/"]
        await block.asave("inbound", overwrite=True)

    asyncio.run(allow_plain())
    asyncio.run(_ensure_blocks(settings))
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=THEIRS, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    SqlDirectory(make_engine(settings.database_url.get_secret_value())).add(
        Address("anna@mailroom.test", "acme", "anna")
    )
    inbound_blocks._opened.clear()
    yield settings
    inbound_blocks._opened.clear()


def put(bucket: str, key: str) -> None:
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=RAW)


def received(settings: Settings, notice: str) -> list[Entry]:
    """Run the flow for what a message names, as the listener does, and return the ledger's row of each."""
    ledger = SqlLedger(make_engine(settings.database_url.get_secret_value()))
    arrivals = read_notification(notice)
    for arrival in arrivals:
        ledger.register(arrival, now=datetime.now(UTC))
        ref = arrival.ref
        asyncio.run(receive_email(ref.bucket, ref.key, ref.version, return_state=True))
    entries = [ledger.find(arrival.ref.message_id) for arrival in arrivals]
    return [entry for entry in entries if entry is not None]


def ends(entries: list[Entry]) -> list[tuple[str, str | None, object]]:
    return [(str(one.state), one.reason, one.facts.get("step")) for one in entries]


@pytest.mark.parametrize(
    ("ref", "step"),
    [
        (ObjectRef(THEIRS, "in/of-another-bucket"), "bucket"),
        (ObjectRef(THEIRS, "plain/of-another-bucket"), "bucket"),
        (ObjectRef(OURS, "secrets/beside-the-mail"), "prefix"),
        (ObjectRef(OURS, "plainly/no-folder-of-ours"), "prefix"),
        (ObjectRef(OURS, "plain/../secrets/by-a-detour"), "key"),
    ],
)
@pytest.mark.parametrize("kind", ["s3", "ses"])
def test_object_outside_is_quarantined_and_never_asked_for(
    installation: Settings, emulator: Emulator, ref: ObjectRef, step: str, kind: str
) -> None:
    """Encrypted objects were bound to their message; a plain one of any bucket that we may read would have been filed."""
    ref = ObjectRef(ref.bucket, f"{ref.key}-{kind}")
    put(ref.bucket, ref.key.replace("plain/../", ""))
    emulator.asked.clear()

    found = received(installation, s3_notice(ref) if kind == "s3" else ses_notice(ref, "anna@mailroom.test"))

    assert ends(found) == [("quarantined", "foreign_object", step)]
    assert found[0].state in FINAL
    assert [path for path in emulator.asked if THEIRS in path or path.startswith(f"/{OURS}/")] == []


def test_neighbours_in_the_same_message_are_filed(installation: Settings) -> None:
    """One message of S3 may name several objects."""
    first, strange, second = ObjectRef(OURS, "plain/first"), ObjectRef(THEIRS, "in/between"), ObjectRef(OURS, "plain/2")
    ledger = SqlLedger(make_engine(installation.database_url.get_secret_value()))
    for ref in (first, second):
        put(ref.bucket, ref.key)
        [named] = read_notification(ses_notice(ref, "anna@mailroom.test"))
        ledger.register(named, now=datetime.now(UTC))

    found = received(installation, s3_notice(first, strange, second))

    assert [state for state, _, _ in ends(found)] == ["filed", "quarantined", "filed"]


def test_prefix_of_every_receipt_rule_is_within(installation: Settings, emulator: Emulator) -> None:
    """A plain object there is quarantined as not encrypted, after it was read: it is within our prefixes."""
    put(OURS, "faxes/of-another-rule")

    found = received(installation, ses_notice(ObjectRef(OURS, "faxes/of-another-rule"), "anna@mailroom.test"))

    assert ends(found) == [("quarantined", "not_encrypted", None)]
    assert f"/{OURS}/faxes/of-another-rule" in emulator.asked


def test_prefix_that_is_named_later_lets_the_mail_be_replayed(installation: Settings) -> None:
    """An upgrade with a second receipt rule loses nothing: its mail waits in quarantine until the prefix is named."""
    ref = ObjectRef(OURS, "later/waits")
    put(ref.bucket, ref.key)
    assert ends(received(installation, ses_notice(ref, "anna@mailroom.test"))) == [
        ("quarantined", "foreign_object", "prefix")
    ]

    async def name_it() -> None:
        block: Any = await InboundMail.aload("inbound")
        block.plain_prefixes = ["plain/", "later"]
        await block.asave("inbound", overwrite=True)

    asyncio.run(name_it())
    inbound_blocks._opened.clear()
    asyncio.run(receive_email(ref.bucket, ref.key, return_state=True))

    entry = SqlLedger(make_engine(installation.database_url.get_secret_value())).find("waits")
    assert entry is not None
    assert entry.state == "filed"


def test_block_of_the_release_before_takes_prefixes_and_account_from_the_settings(
    installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New workers start before `deployments.ensure` runs: the mail of a second receipt rule must not wait for it."""
    for name, value in installation.environment().items():
        monkeypatch.setenv(name, value)

    async def of_before() -> InboundMail:
        block: Any = await InboundMail.aload("inbound")
        archive = block.archive.model_copy(update={"account": ""})
        return InboundMail(
            **{
                name: getattr(block, name)
                for name in InboundMail.model_fields
                if name not in ("prefixes", "bucket_account", "archive", "plain_prefixes")
            },
            archive=archive,
        )

    opened = asyncio.run(of_before()).open()

    assert opened.prefixes == ("in/", "faxes/")
    opened.archive.check()
