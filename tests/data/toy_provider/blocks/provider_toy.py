"""Toy."""

from pydantic import Field, SecretStr

from blocks.provider import Provider
from mailroom.adapters.providers import toy
from mailroom.ports.provider import MailProvider


class ToyProvider(Provider):
    """Toy.

    Example:
        ```python
        from blocks import ToyProvider

        provider = ToyProvider.load("toy").open()
        ```
    """

    _block_type_name = "Mailroom provider: Toy"
    _block_type_slug = "mailroom-provider-toy"
    _description = "Sends mail through Toy."

    token: SecretStr = Field(description="API token.")
    url: str = Field(default=toy.API, description="Where its API is.")

    def open(self) -> MailProvider:
        """Return Toy."""
        return toy.Toy(token=self.token.get_secret_value(), url=self.url)

    def endpoint(self) -> str:
        """Return the URL of its API."""
        return self.url
