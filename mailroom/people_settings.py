"""The settings of people and their sessions, a part of `mailroom.settings.Settings`."""

from datetime import timedelta
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from mailroom.domain.openid import issuer_fault
from mailroom.domain.operations.loopback import names_this_machine


class OpenIdSettings(BaseSettings):
    """The provider by which people sign in besides links by mail."""

    openid_issuer: str = Field(
        default="",
        description="Issuer of the OpenID Connect provider by which people sign in, exactly as it names itself; empty is none.",
    )
    openid_client_id: str = Field(default="", description="Id of this installation at that provider.")
    openid_client_secret: SecretStr = Field(
        default=SecretStr(""), description="Secret of this installation at that provider."
    )
    openid_name: str = Field(
        default="OpenID Connect", max_length=60, description="Name of that provider on the button of the sign-in page."
    )
    openid_domains: str = Field(
        default="",
        description="Domains of the addresses that this provider may vouch for, with blanks or commas between; empty is all.",
    )

    @field_validator("openid_issuer")
    @classmethod
    def _is_an_issuer(cls, issuer: str) -> str:
        if issuer and (fault := issuer_fault(issuer)):
            raise ValueError(fault)
        return issuer


class PeopleSettings(OpenIdSettings):
    """How people sign in to the pages."""

    api_url: str = Field(description="Mailroom's own HTTP service, for links, and for commands that call it.")
    pages_url: str = Field(
        default="",
        description="URL at which browsers reach the pages, for sign-in links: https, or http on loopback; empty is MAILROOM_API_URL.",
    )
    sign_in_from: str = Field(
        default="", description="From address of mails with sign-in links; empty is MAILROOM_SENDER."
    )
    session_idle_hours: int = Field(
        default=12,
        ge=1,
        le=720,
        json_schema_extra={"unit": "hours"},
        description="How long a person stays signed in without opening a page.",
    )
    session_days: int = Field(
        default=7,
        ge=1,
        le=90,
        json_schema_extra={"unit": "days"},
        description="How long a person stays signed in at most.",
    )

    @field_validator("pages_url")
    @classmethod
    def _is_reached_safely(cls, url: str) -> str:
        if url and not is_safe(url):
            raise ValueError("a session's cookie needs https, or http on loopback: https://mail.example.com")
        return url.rstrip("/")

    @property
    def pages_at(self) -> str:
        """The URL of the pages, without a slash at its end; empty if people cannot sign in there: plain http, not on loopback."""
        url = (self.pages_url or self.api_url).rstrip("/")
        return url if is_safe(url) else ""

    @property
    def session_idle(self) -> timedelta:
        """How long a session lasts without a request."""
        return timedelta(hours=self.session_idle_hours)

    @property
    def session_lasts(self) -> timedelta:
        """How long a session lasts at most."""
        return timedelta(days=self.session_days)


def is_safe(url: str) -> bool:
    """Return whether a session may begin at this URL: its cookie is encrypted on its way, or stays on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        _ = parts.port
    except ValueError:
        return False
    if parts.query or parts.fragment or parts.path.strip("/") or "@" in parts.netloc or not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and names_this_machine(host))
