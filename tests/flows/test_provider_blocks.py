"""The provider that sends, read from a real Prefect server's REST API without importing Prefect."""

import asyncio

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL
from prefect_aws import AwsCredentials
from pydantic import SecretStr

from blocks import LegalArchive, MailroomDatabase, OutboundMail, SesProvider, SmtpProvider
from mailroom.adapters.prefect.provider_blocks import ProviderBlock, ProviderBlocks

pytestmark = pytest.mark.usefixtures("server")


async def saved(provider: str) -> None:
    """Save the blocks as `deployments.ensure` and an operator do."""
    credentials = AwsCredentials(region_name="eu-central-1")
    await credentials.asave("mailroom", overwrite=True)
    credentials = await AwsCredentials.aload("mailroom")
    await SesProvider(credentials=credentials, account_id="123456789012").asave("default", overwrite=True)
    relay = SmtpProvider(host="relay.test", dkim_domain="acme.test", dkim_key=SecretStr("the key"))
    await relay.asave("relay", overwrite=True)
    database = MailroomDatabase(url=SecretStr("postgresql://nowhere/mailroom"))
    await database.asave("mailroom", overwrite=True)
    database = await MailroomDatabase.aload("mailroom")
    archive = LegalArchive(credentials=credentials, database=database, bucket="b", account="123456789012")
    await archive.asave("archive", overwrite=True)
    outbound = OutboundMail(archive=await LegalArchive.aload("archive"), database=database, provider=provider)
    await outbound.asave("outbound", overwrite=True)


def first(provider: str, *, with_secrets: bool = False) -> ProviderBlock:
    """Return the provider's block as the HTTP service reads it."""

    async def read() -> ProviderBlock | None:
        await saved(provider)
        async with get_client():
            blocks = ProviderBlocks(api_url=str(PREFECT_API_URL.value()))
            return await asyncio.to_thread(blocks.first, with_secrets=with_secrets)

    found = asyncio.run(read())
    assert found is not None
    return found


def test_blocks_say_which_provider_sends_and_from_which_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """The region is in the credentials' block within; secret fields are shown only if they are asked for."""
    monkeypatch.setattr("mailroom.adapters.prefect.provider_blocks._TIMEOUT_S", 30.0)

    ses = first("mailroom-provider-ses/default")
    relay, open_ = (first("mailroom-provider-smtp/relay", with_secrets=secrets) for secrets in (False, True))

    assert (ses.provider, ses.fields["account_id"]) == ("ses", "123456789012")
    assert ses.fields["credentials"]["region_name"] == "eu-central-1"
    assert (relay.provider, relay.fields["host"], relay.fields["dkim_domain"]) == ("smtp", "relay.test", "acme.test")
    assert relay.fields["dkim_key"] != "the key"
    assert open_.fields["dkim_key"] == "the key"
