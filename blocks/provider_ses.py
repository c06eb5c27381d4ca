"""Amazon SES v2."""

from collections.abc import Callable
from functools import partial

from prefect_aws import AwsCredentials
from pydantic import Field

from blocks.provider import Provider
from blocks.support.credentials import for_one_try
from mailroom.adapters.providers.ses import Ses, open_ses
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

    def recipe(self) -> Callable[[], MailProvider] | None:
        """Return what opens SES; None for an assumed role, whose credentials are of one process."""
        given = self.credentials
        if given.assume_role_arn:
            return None
        secret = given.aws_secret_access_key
        session = {
            "aws_access_key_id": given.aws_access_key_id,
            "aws_secret_access_key": secret.get_secret_value() if secret else None,
            "aws_session_token": given.aws_session_token,
            "profile_name": given.profile_name,
            "region_name": given.region_name,
        }
        client = for_one_try(given).aws_client_parameters.get_params_override()
        named = {"configuration_set": self.configuration_set, "tenant": self.tenant}
        return partial(open_ses, session, client, account_id=self.account_id, **named)

    def endpoint(self) -> str:
        """Return SES's endpoint for the credentials' region and settings."""
        return str(self.credentials.get_client("sesv2").meta.endpoint_url)
