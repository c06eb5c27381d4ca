"""The base class of providers' blocks. A flow loads one by its name and opens it."""

from abc import abstractmethod

from prefect.blocks.core import Block

from mailroom.ports.provider import MailProvider


class Provider(Block):
    """What every provider's block can do."""

    _block_schema_capabilities = ["send-mail"]  # noqa: RUF012

    @abstractmethod
    def open(self) -> MailProvider:
        """Return the provider; the caller closes it."""

    @abstractmethod
    def endpoint(self) -> str:
        """Return the provider's URL or host name; "" where mail stays on this machine."""
