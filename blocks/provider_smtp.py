"""The block of an SMTP relay."""

from pydantic import Field, SecretStr

from blocks.provider import Provider
from mailroom.adapters.providers.dkim_signatures import Dkim
from mailroom.adapters.providers.smtp import Smtp, Tls
from mailroom.domain.errors import ConfigurationError
from mailroom.ports.provider import MailProvider


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
    _description = "Sends mail with an SMTP server; signs it with DKIM if a key is set."

    host: str = Field(description="Host name of the server, as in its certificate.")
    port: int = Field(default=587, description="587 for STARTTLS, 465 for TLS from the first byte.")
    tls: Tls = Field(default=Tls.STARTTLS, description="implicit, starttls, opportunistic or off.")
    user: str | None = Field(default=None, description="User name; needs TLS.")
    password: SecretStr | None = Field(default=None, description="Password of the user.")
    bounces: str | None = Field(
        default=None,
        description="Address for bounces; by default the sender of each mail. MAILROOM_BOUNCE_DOMAIN comes before it.",
    )
    dkim_domain: str | None = Field(default=None, description="DKIM domain.")
    dkim_selector: str = Field(
        default="mailroom", description="DKIM selector: where the public key is in the domain's DNS."
    )
    dkim_key: SecretStr | None = Field(default=None, description="DKIM private key: RSA, in PEM.")

    def open(self) -> MailProvider:
        """Return the server; the connection is made for the first mail."""
        dkim = None
        if bool(self.dkim_domain) != bool(self.dkim_key):
            raise ConfigurationError("set both dkim_domain and dkim_key, or neither")
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
