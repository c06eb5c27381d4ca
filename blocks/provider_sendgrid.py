"""Twilio SendGrid."""

from pydantic import Field, SecretStr

from blocks.provider import Provider
from mailroom.adapters.providers import sendgrid
from mailroom.ports.provider import MailProvider


class SendGridProvider(Provider):
    """Twilio SendGrid.

    Example:
        ```python
        from blocks import SendGridProvider

        provider = SendGridProvider.load("sendgrid").open()
        ```
    """

    _block_type_name = "Mailroom provider: SendGrid"
    _block_type_slug = "mailroom-provider-sendgrid"
    _description = "Sends mail with SendGrid."

    key: SecretStr = Field(description="API key with the permission Mail Send.")
    account: str = Field(description="Name of the account or subuser; rate limits are kept for each account.")
    url: str = Field(default=sendgrid.API, description=f"URL of SendGrid's API; {sendgrid.API_EU} for EU subusers.")

    def open(self) -> MailProvider:
        """Return SendGrid."""
        return sendgrid.SendGrid(key=self.key.get_secret_value(), account=self.account, url=self.url)

    def endpoint(self) -> str:
        """Return the URL of its API, which names the region."""
        return self.url
