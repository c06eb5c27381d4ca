"""Postmark."""

from pydantic import Field, SecretStr

from blocks.provider import Provider
from mailroom.adapters.providers import postmark
from mailroom.ports.provider import MailProvider


class PostmarkProvider(Provider):
    """Postmark.

    Example:
        ```python
        from blocks import PostmarkProvider

        provider = PostmarkProvider.load("postmark").open()
        ```
    """

    _block_type_name = "Mailroom provider: Postmark"
    _block_type_slug = "mailroom-provider-postmark"
    _description = "Sends mail with a Postmark server and message stream."

    token: SecretStr = Field(description="Server API token.")
    server: str = Field(description="Name of the Postmark server; rate limits are kept for each server.")
    stream: str = Field(default="outbound", description="Message stream: outbound, or one for broadcasts.")
    url: str = Field(default=postmark.API, description="URL of Postmark's API.")

    def open(self) -> MailProvider:
        """Return Postmark."""
        token = self.token.get_secret_value()
        return postmark.Postmark(token=token, server=self.server, stream=self.stream, url=self.url)

    def endpoint(self) -> str:
        """Return the URL of its API, which is in the US only."""
        return self.url
