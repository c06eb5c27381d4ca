"""Providers that mail is handed to: their settings and secrets. A flow loads one by its name and opens it."""

from abc import abstractmethod
from pathlib import Path

from prefect.blocks.core import Block
from prefect_aws import AwsCredentials
from pydantic import Field, SecretStr

from blocks.support.credentials import for_one_try
from mailroom.adapters.providers import postmark, sendgrid
from mailroom.adapters.providers.folder import Folder
from mailroom.adapters.providers.ses import Ses
from mailroom.adapters.providers.signing import Dkim
from mailroom.adapters.providers.smtp import Smtp, Tls
from mailroom.domain.errors import ConfigurationError
from mailroom.ports.outbox import MailProvider


class Provider(Block):
    """What every provider's block can do."""

    _block_schema_capabilities = ["send-mail"]  # noqa: RUF012

    @abstractmethod
    def open(self) -> MailProvider:
        """Return the provider; the caller closes it."""

    @abstractmethod
    def endpoint(self) -> str:
        """Return where mail goes, as a URL or host name; "" where it stays on this machine."""


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
    _description = "Hands mail to Amazon SES v2."

    credentials: AwsCredentials = Field(description="Credentials that may send through the identities.")
    account_id: str = Field(description="AWS account that sends; one rate is kept for each account and region.")
    configuration_set: str | None = Field(default=None, description="Configuration set that publishes the events.")
    tenant: str | None = Field(default=None, description="SES tenant whose reputation the mails count for.")

    def open(self) -> MailProvider:
        """Return SES, with a client that sends everything once."""
        return Ses(
            for_one_try(self.credentials).get_client("sesv2"),
            account_id=self.account_id,
            configuration_set=self.configuration_set,
            tenant=self.tenant,
        )

    def endpoint(self) -> str:
        """Return SES's endpoint, as the credentials' region and settings lead to it."""
        return str(self.credentials.get_client("sesv2").meta.endpoint_url)


class SmtpProvider(Provider):
    """Any SMTP server that takes mail for others.

    Example:
        ```python
        from blocks import SmtpProvider

        provider = SmtpProvider.load("relay").open()
        ```
    """

    _block_type_name = "Mailroom provider: SMTP"
    _block_type_slug = "mailroom-provider-smtp"
    _description = "Hands mail to an SMTP server, signed with DKIM where a key is given."

    host: str = Field(description="Name of the server; its certificate must have it.")
    port: int = Field(default=587, description="587 for STARTTLS, 465 for TLS from the first byte.")
    tls: Tls = Field(default=Tls.STARTTLS, description="implicit, starttls, opportunistic or off.")
    user: str | None = Field(default=None, description="Login; needs TLS.")
    password: SecretStr | None = Field(default=None, description="Password of the login.")
    bounces: str | None = Field(default=None, description="Where bounces go; without it the sender of each mail.")
    dkim_domain: str | None = Field(default=None, description="Domain that signs.")
    dkim_selector: str = Field(default="mailroom", description="Where in the domain's DNS the key is published.")
    dkim_key: SecretStr | None = Field(default=None, description="RSA private key in PEM.")

    def open(self) -> MailProvider:
        """Return the server; it is not connected to before the first mail."""
        dkim = None
        if bool(self.dkim_domain) != bool(self.dkim_key):
            raise ConfigurationError("DKIM needs both a domain and a key")
        if self.dkim_domain and self.dkim_key:
            key = self.dkim_key.get_secret_value()
            dkim = Dkim(domain=self.dkim_domain, selector=self.dkim_selector, key_pem=key)
        return Smtp(
            host=self.host,
            port=self.port,
            tls=self.tls,
            user=self.user,
            password=self.password.get_secret_value() if self.password else None,
            bounces=self.bounces,
            dkim=dkim,
        )

    def endpoint(self) -> str:
        """Return the server's name."""
        return self.host


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
    _description = "Hands mail to SendGrid."

    key: SecretStr = Field(description="API key with the right Mail Send.")
    account: str = Field(description="What its limits belong to: the name of the account or subuser.")
    url: str = Field(default=sendgrid.API, description=f"{sendgrid.API_EU} for EU subusers.")

    def open(self) -> MailProvider:
        """Return SendGrid."""
        return sendgrid.SendGrid(key=self.key.get_secret_value(), account=self.account, url=self.url)

    def endpoint(self) -> str:
        """Return the URL of its API, which says whose region it is."""
        return self.url


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
    _description = "Hands mail to a Postmark server and one of its streams."

    token: SecretStr = Field(description="Server API token.")
    server: str = Field(description="What its limits belong to: the name of the server.")
    stream: str = Field(default="outbound", description="Message stream: outbound, or one for broadcasts.")
    url: str = Field(default=postmark.API, description="Where its API is.")

    def open(self) -> MailProvider:
        """Return Postmark."""
        token = self.token.get_secret_value()
        return postmark.Postmark(token=token, server=self.server, stream=self.stream, url=self.url)

    def endpoint(self) -> str:
        """Return the URL of its API, which is in the US only."""
        return self.url


class FolderProvider(Provider):
    """A folder that mails are written to, for development.

    Example:
        ```python
        from blocks import FolderProvider

        provider = FolderProvider.load("folder").open()
        ```
    """

    _block_type_name = "Mailroom provider: folder"
    _block_type_slug = "mailroom-provider-folder"
    _description = "Writes mails to files; nothing leaves the machine."

    folder: Path = Field(description="Where the files go.")

    def open(self) -> MailProvider:
        """Return the folder, made if it is not there."""
        return Folder(self.folder)

    def endpoint(self) -> str:
        """Return nothing: a folder is of this machine."""
        return ""
