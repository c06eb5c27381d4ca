"""The settings of signing in by OpenID Connect, a part of `mailroom.people_settings.PeopleSettings`."""

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from mailroom.domain.openid import issuer_fault


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

    @model_validator(mode="after")
    def _is_complete(self) -> "OpenIdSettings":
        if self.openid_issuer and not (self.openid_client_id and self.openid_client_secret.get_secret_value()):
            raise ValueError("MAILROOM_OPENID_ISSUER needs MAILROOM_OPENID_CLIENT_ID and MAILROOM_OPENID_CLIENT_SECRET")
        return self
