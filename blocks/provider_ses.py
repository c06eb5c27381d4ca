"""Amazon SES v2."""

from prefect_aws import AwsCredentials
from pydantic import Field

from blocks.provider import Provider
from blocks.support.credentials import for_one_try
from mailroom.adapters.providers.ses import Ses
from mailroom.ports.provider import MailProvider


class SesProvider(Provider):
    """Amazon SES v2.

    Example:
        ```python
        from blocks import SesProvider

        provider = SesProvider.load("ses").open()
        ```
    """

    _block_type_name = "Mailroom provider: SES"
    _block_type_slug = "mailroom-provider-ses"
    _description = "Sends mail with Amazon SES v2."

    credentials: AwsCredentials = Field(description="Credentials that may send from the identities.")
    account_id: str = Field(description="AWS account that sends; rate limits are kept for each account and region.")
    configuration_set: str | None = Field(
        default=None, description="Configuration set that publishes the sending events."
    )
    tenant: str | None = Field(default=None, description="SES tenant whose reputation the mails count towards.")

    def open(self) -> MailProvider:
        """Return SES, with a client that never repeats a request."""
        return Ses(
            for_one_try(self.credentials).get_client("sesv2"),
            account_id=self.account_id,
            configuration_set=self.configuration_set,
            tenant=self.tenant,
        )

    def endpoint(self) -> str:
        """Return SES's endpoint for the credentials' region and settings."""
        return str(self.credentials.get_client("sesv2").meta.endpoint_url)
