"""SES in one region, buckets and queues in another, the archive in a third: the acceptance mail is filed all the same."""

import asyncio
import os
import re
import smtplib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import psycopg
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from prefect.settings import PREFECT_API_URL
from prefect_aws.credentials import _get_client_cached
from sqlalchemy import Engine
from werkzeug.serving import make_server

from blocks import InboundMail, SmtpProvider
from blocks import inbound as inbound_blocks
from blocks import outbound as sending
from blocks.watch import open_watching
from deployments.ensure import _ensure_blocks
from flows.receive_email import receive_email
from mailroom.adapters.aws.clients import client
from mailroom.adapters.aws.regions import refuse_outside
from mailroom.adapters.aws.sqs import SqsQueue
from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.tenants.directory import SqlDirectory
from mailroom.adapters.prefect.blocks import providers_by_endpoint
from mailroom.api.app import create_app
from mailroom.api.serve import services_from
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.notifications import read_notification
from mailroom.domain.inbound.received_email import State
from mailroom.domain.inbound.routing import Address
from mailroom.sandbox.stack.aws import Names, provision
from mailroom.sandbox.stack.postgres import Postgres
from mailroom.sandbox.stand_ins.door import Door
from mailroom.sandbox.stand_ins.ses_api import like_ses
from mailroom.settings import Settings, allowed_regions
from tests.support.loopback_ports import free_port
from tests.support.signed_in import signed_in

SES, STORAGE, ARCHIVE = "eu-west-1", "eu-central-1", "eu-north-1"
NAMES = Names(stem="apart", region=SES, storage_region=STORAGE, archive_region=ARCHIVE)
BUCKETS = {"apart-inbound": STORAGE, "apart-files": STORAGE, "apart-archive": ARCHIVE}
_SCOPE = re.compile(r"Credential=[^/]+/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/")


@dataclass
class StrictAws:
    """moto, but a bucket answers only in its own region, as S3's endpoints do. Records which services were called where."""

    app: Any = field(default_factory=lambda: DomainDispatcherApplication(create_backend_app))
    asked: set[tuple[str, str]] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if scope := _SCOPE.search(environ.get("HTTP_AUTHORIZATION", "")):
            self.asked.add((scope["service"], scope["region"]))
            bucket = environ["PATH_INFO"].split("/")[1]
            if scope["service"] == "s3" and BUCKETS.get(bucket, scope["region"]) != scope["region"]:
                self.refused.append(f"{environ['REQUEST_METHOD']} {bucket} in {scope['region']}")
                start_response("403 Forbidden", [("Content-Type", "application/xml")])
                return [b"<Error><Code>WrongRegion</Code></Error>"]
        return self.app(environ, start_response)


@pytest.fixture(scope="module")
def strict_aws() -> Iterator[StrictAws]:
    """The emulator, in the environment, for clients that are made from here on."""
    strict = StrictAws()
    like_ses()
    server = make_server("127.0.0.1", free_port(), strict, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")  # Nothing may use it.
        client.cache_clear()
        yield strict
    client.cache_clear()
    server.shutdown()
    thread.join()


@pytest.fixture(scope="module")
def installation(strict_aws: StrictAws, server: None, postgres: Postgres) -> Settings:
    """Settings of the provisioned resources, saved in blocks as `deployments.ensure` does."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("create database regions_apart template mailroom")
    elsewhere = dict.fromkeys(("prefect_api_url", "prefect_url", "api_url"), "http://127.0.0.1:9/api")
    database_url = postgres.url("regions_apart")
    settings = Settings(**(provision(NAMES) | elsewhere), database_url=database_url)
    asyncio.run(_ensure_blocks(settings))
    return settings


@pytest.fixture(autouse=True)
def _freshly_opened() -> Iterator[None]:
    inbound_blocks._opened.clear()
    sending._opened.clear()
    yield
    inbound_blocks._opened.clear()
    sending._opened.clear()


def a_mail(attachment: bytes) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "scanner@office.test", "list@elsewhere.test", "Bordereau 42"
    mail.set_content("voici le bordereau\n")
    mail.add_attachment(attachment, maintype="application", subtype="pdf", filename="bordereau.pdf")
    return mail


def file_what_came(settings: Settings, engine: Engine) -> list[str]:
    """Run the flow for each mail of the inbound queue, and return how each ended."""
    url = settings.inbound_queue_url
    queue, ledger = SqsQueue(client("sqs", region=settings.region_of_queue(url)), url=url), SqlLedger(engine)
    arrivals, deadline = [], time.monotonic() + 20
    while len(arrivals) < 2 and time.monotonic() < deadline:
        for message in queue.receive(most=10, wait_s=1):
            arrivals += read_notification(message.body)
            queue.delete([message.receipt_handle])
    # Both announced it: S3 in its own region's queue, SES's topic across regions.
    assert sorted(arrival.envelope is not None for arrival in arrivals) == [False, True]
    refs = {arrival.ref: ledger.register(arrival, now=datetime.now(UTC)) for arrival in arrivals}
    for ref in refs:
        asyncio.run(receive_email(ref.bucket, ref.key, return_state=True))
    return [str(entry.state) for ref in refs if (entry := ledger.find(ref.message_id))]


def test_acceptance_mail_is_filed_across_three_regions(installation: Settings, strict_aws: StrictAws) -> None:
    """SES receives in fewer regions than S3 and the archive are wanted in; each client goes where its resource is."""
    engine = make_engine(installation.database_url.get_secret_value())
    refuse_outside(installation)
    SqlDirectory(engine).add(Address("anna@mailroom.test", "acme", "anna"))
    document = b"%PDF-1.7\n" + os.urandom(50_000)
    account, storage = installation.account_id, installation.region_of_buckets
    door = Door(account_id=account, region=installation.region, port=free_port(), storage_region=storage)
    door.start()
    with smtplib.SMTP("127.0.0.1", door.port, timeout=30) as smtp:
        smtp.sendmail("scanner@office.test", ["anna@mailroom.test"], a_mail(document).as_bytes())
    door.stop()

    ended = file_what_came(installation, engine)

    assert ended == [State.FILED]
    services = services_from(installation.model_copy(update={"api_url": "http://127.0.0.1:8025"}))
    [line] = services.reader.items(None, "anna@mailroom.test", after=None, limit=10).lines
    page = signed_in(create_app(services))
    assert page.get(f"/items/{line.id}/attachments/1").content == document
    asyncio.run(open_watching())
    assert strict_aws.refused == []
    assert strict_aws.asked == {
        ("ses", SES),
        ("sns", SES),
        ("kms", SES),
        ("sqs", STORAGE),
        ("s3", STORAGE),
        ("s3", ARCHIVE),
    }


def test_block_that_leads_outside_is_not_opened(installation: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are edited in the Prefect UI, which checks no setting: the check is made when one is opened."""

    async def edit_and_open() -> None:
        block: Any = await InboundMail.aload("inbound")
        fields = {name: getattr(block, name) for name in InboundMail.model_fields}
        queue_url = "https://sqs.eu-west-2.amazonaws.com/1/q"
        await InboundMail(**(fields | {"queue_url": queue_url})).asave("edited")
        block.refuse_outside()
        block.kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/k"
        with pytest.raises(ConfigurationError, match="key/k is in us-east-1"):
            block.refuse_outside()
        block.kms_key_arn = installation.kms_key_arn
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.amazonaws.com")
        _get_client_cached.cache_clear()
        with pytest.raises(ConfigurationError, match="is in us-east-1"):
            block.refuse_outside()
        monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
        _get_client_cached.cache_clear()
        await inbound_blocks.open_inbound("edited")

    with pytest.raises(ConfigurationError, match="is in eu-west-2"):
        asyncio.run(edit_and_open())


def test_provider_outside_is_not_opened(installation: Settings) -> None:
    """Whole mails go there. What is only a name must be vouched for by the operator; `mailroom status` shows it too."""

    def opened(host: str) -> str:
        async def choose_and_open() -> None:
            await SmtpProvider(host=host).asave("relay", overwrite=True)
            block: Any = await sending.OutboundMail.aload("outbound")
            block.second = "mailroom-provider-smtp/relay"
            await block.asave("edited", overwrite=True)
            await sending.refuse_providers_outside("edited")

        try:
            asyncio.run(choose_and_open())
        except ConfigurationError as error:
            return str(error)
        return "opened"

    def shown() -> list[str]:
        reaching = installation.model_copy(update={"prefect_api_url": str(PREFECT_API_URL.value())})
        return [one.name for one in providers_by_endpoint(reaching, allowed_regions(), name="edited") if one.fault]

    assert "smtp.acme.example has no known region" in opened("smtp.acme.example")
    assert shown() == ["smtp.acme.example"]
    assert opened("127.0.0.1") == "opened"
