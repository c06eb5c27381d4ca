"""A block that an operator changes in the Prefect UI: the next runs use it, and `ensure` keeps the change."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect_aws import AwsCredentials
from prefect_aws.client_parameters import AwsClientParameters

from blocks import InboundMail, LegalArchive, MailroomWatch, OutboundMail, SesProvider, SmtpProvider
from blocks import inbound as inbound_blocks
from blocks import outbound as outbound_blocks
from blocks.support import block_cache
from deployments.ensure import _ensure_blocks
from mailroom.settings import Settings

pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture
def settings(database_url: str) -> Settings:
    names = ("inbound_bucket", "inbound_topic_arn", "archive_bucket", "prefect_url", "api_url", "prefect_api_url")
    queues = dict.fromkeys(
        ("inbound_queue_url", "mailbox_queue_url", "tracking_queue_url"), "https://sqs.eu-west-1.amazonaws.com/1/q"
    )
    key = "arn:aws:kms:eu-west-1:123456789012:key/k"
    given = (
        dict.fromkeys(names, "x") | queues | {"region": "eu-west-1", "account_id": "123456789012", "kms_key_arn": key}
    )
    return Settings(**given, database_url=database_url)


@pytest.fixture(autouse=True)
def _always_looked_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the cache expire between any two uses, as after ten seconds."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setattr(block_cache, "FRESH_S", 0.0)
    for opened in (inbound_blocks._opened, outbound_blocks._opened):
        opened.clear()
    yield
    for opened in (inbound_blocks._opened, outbound_blocks._opened):
        opened.clear()


async def change(slug: str, name: str, **fields: Any) -> None:
    """Change fields of a block as the UI does: by the server's API, the document alone."""
    async with get_client() as client:
        document = await client.read_block_document_by_name(name, slug, include_secrets=True)
        # Blocks within it are references: a document that is written without them loses them.
        within = {
            field: {"$ref": {"block_document_id": str(one["block_document"]["id"])}}
            for field, one in document.block_document_references.items()
        }
        body = {"data": document.data | within | fields, "merge_existing_data": False}
        (await client._client.patch(f"/block_documents/{document.id}", json=body)).raise_for_status()


def test_a_change_of_any_block_of_outbound_mail_is_used_and_no_change_opens_nothing(settings: Settings) -> None:
    """The provider's block is only named by `outbound`, and the credentials are within it: both count."""

    async def walk() -> None:
        await _ensure_blocks(settings)
        await SmtpProvider(host="127.0.0.1", port=2501).asave("relay")
        first = await outbound_blocks.open_outbound()
        assert await outbound_blocks.open_outbound() is first

        await change("mailroom-outbound", "outbound", provider="mailroom-provider-smtp/relay")
        second = await outbound_blocks.open_outbound()
        assert second is not first
        await change("mailroom-provider-smtp", "relay", port=2502)
        third = await outbound_blocks.open_outbound()
        assert third is not second
        assert await outbound_blocks.open_outbound() is third
        await change("mailroom-provider-smtp", "relay", password="secret")
        assert await outbound_blocks.open_outbound() is not third

        await change("mailroom-outbound", "outbound", provider="mailroom-provider-ses/default")
        ses = await outbound_blocks.open_outbound()
        await change("aws-credentials", "mailroom", region_name="eu-central-1")
        assert await outbound_blocks.open_outbound() is not ses

    asyncio.run(walk())


def test_a_change_of_any_block_of_inbound_mail_is_used(settings: Settings) -> None:
    async def walk() -> None:
        await _ensure_blocks(settings)
        opened = await inbound_blocks.open_inbound()
        assert await inbound_blocks.open_inbound() is opened
        changes: list[tuple[str, str, dict[str, Any]]] = [
            ("mailroom-inbound", "inbound", {"plain_prefixes": ["plain/"]}),
            ("mailroom-archive", "archive", {"copy_bucket": "copies"}),
            ("aws-credentials", "mailroom", {"region_name": "eu-west-3"}),
            ("mailroom-database", "mailroom", {"url": "postgresql://other@127.0.0.1:9/mailroom"}),
        ]
        for slug, name, fields in changes:
            await change(slug, name, **fields)
            before, opened = opened, await inbound_blocks.open_inbound()
            assert opened is not before, slug

    asyncio.run(walk())


def test_credentials_that_an_operator_changed_count_in_every_block_after_the_next_ensure(settings: Settings) -> None:
    """`ensure` runs at each start. A block that is saved within another stays a reference to it, and is never copied."""

    async def walk() -> None:
        await _ensure_blocks(settings)
        parameters = AwsClientParameters(config={"read_timeout": 7})
        mine = AwsCredentials(region_name="eu-west-1", aws_client_parameters=parameters)
        await mine.asave("mailroom", overwrite=True)
        # Something else has changed, so that the blocks around it are saved again.
        await _ensure_blocks(settings.model_copy(update={"archive_bucket": "another", "inbound_bucket": "another"}))
        await change("aws-credentials", "mailroom", region_name="eu-central-1")

        archive: Any = await LegalArchive.aload("archive")
        inbound: Any = await InboundMail.aload("inbound")
        watch: Any = await MailroomWatch.aload("mailroom")
        ses: Any = await SesProvider.aload("default")
        outbound: Any = await OutboundMail.aload("outbound")
        held = [
            archive.credentials,
            inbound.credentials,
            inbound.archive.credentials,
            watch.credentials,
            ses.credentials,
        ]
        for credentials in (*held, outbound.archive.credentials):
            assert credentials.region_name == "eu-central-1"
            assert credentials.aws_client_parameters.config == {"read_timeout": 7} or (
                credentials.aws_client_parameters.config.read_timeout == 7
            )

    asyncio.run(walk())
