"""The blocks of providers: each opens its provider, and shows no secret."""

import inspect
from pathlib import Path

import pytest
from prefect.blocks.core import Block
from prefect_aws import AwsCredentials
from prefect_aws.client_parameters import AwsClientParameters
from pydantic import SecretStr

import blocks
from blocks import FolderProvider, PostmarkProvider, SendGridProvider, SesProvider, SmtpProvider
from blocks.provider import Provider
from mailroom.adapters.providers.catalogue import PROVIDERS, table
from mailroom.domain.errors import ConfigurationError

SECRET = "not-for-logs"
CREDENTIALS = AwsCredentials(
    aws_access_key_id="test",
    aws_secret_access_key=SecretStr(SECRET),
    region_name="eu-west-1",
    aws_client_parameters=AwsClientParameters(endpoint_url="http://127.0.0.1:9", config={"user_agent_extra": "x"}),
)
BLOCKS: list[Provider] = [
    SesProvider(credentials=CREDENTIALS, account_id="123456789012", configuration_set="tracked", tenant="acme"),
    SmtpProvider(host="mail.example.com", user="u", password=SecretStr(SECRET)),
    SendGridProvider(key=SecretStr(SECRET), account="acme"),
    PostmarkProvider(token=SecretStr(SECRET), server="acme"),
]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: str(block.get_block_type_slug()))
def test_a_block_opens_its_provider_and_shows_no_secret(block: Provider) -> None:
    """`open` connects to nothing; what Prefect prints of a block or provider holds no key."""
    provider = block.open()

    assert provider.capabilities == PROVIDERS[provider.name]
    assert SECRET not in repr(block) + repr(provider) + provider.identity
    provider.close()


def test_ses_keeps_the_operator_s_settings_and_retries_nothing() -> None:
    """The endpoint of the emulator must survive, or a test's mail leaves for AWS; `Ses` itself refuses a client that retries."""
    provider = BLOCKS[0].open()

    assert provider.identity == "ses/123456789012/eu-west-1"


def test_half_of_a_dkim_setting_is_a_mistake() -> None:
    """Mail that is believed to be signed would be sent unsigned."""
    with pytest.raises(ConfigurationError):
        SmtpProvider(host="mail.example.com", dkim_domain="acme.example").open()


def test_a_folder_is_made(tmp_path: Path) -> None:
    """Development starts with nothing there."""
    provider = FolderProvider(folder=tmp_path / "mails").open()

    assert (tmp_path / "mails").is_dir()
    assert provider.name == "file"


def test_what_is_registered_is_what_is_listed() -> None:
    """`prefect block register -m blocks` takes every block that it finds in the module, an abstract one too."""
    found = {name for name, kind in inspect.getmembers(blocks) if Block.is_block_class(kind)}

    assert found == set(blocks.__all__)


def test_the_table_in_the_docs_is_what_the_providers_can_do() -> None:
    """A table that is kept by hand is soon wrong."""
    docs = Path(__file__).resolve().parents[2] / "docs" / "operations.md"

    assert table() in docs.read_text()
