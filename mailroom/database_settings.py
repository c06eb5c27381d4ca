"""The settings of the database, a part of `mailroom.settings.Settings`."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings


class DatabaseSettings(BaseSettings):
    """Mailroom's database, for the application and for its owner."""

    database_url: SecretStr = Field(
        description="Mailroom's PostgreSQL, postgresql://user:password@host/database, as the application's login."
    )
    database_owner_url: SecretStr = Field(
        default=SecretStr(""),
        description="The same database as the owner of its tables, for `mailroom migrate`, `backup` and `restore` alone; empty is MAILROOM_DATABASE_URL.",
    )
