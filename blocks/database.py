"""The block of Mailroom's database."""

from prefect.blocks.core import Block
from pydantic import Field, SecretStr
from sqlalchemy import Engine

from mailroom import wiring
from mailroom.adapters.postgres.engine import refuse_unfit


class MailroomDatabase(Block):
    """Mailroom's PostgreSQL.

    Example:
        ```python
        from blocks import MailroomDatabase

        engine = MailroomDatabase.load("mailroom").open()
        ```
    """

    _block_type_name = "Mailroom database"
    _block_type_slug = "mailroom-database"
    _description = "Mailroom's PostgreSQL: ledger, inbox, archive receipts."

    url: SecretStr = Field(description="postgresql://user:password@host:port/database.")

    def check(self) -> None:
        """Return if the database accepts this user and password and its schema fits this code; raise otherwise."""
        refuse_unfit(self.open())

    def open(self) -> Engine:
        """Return this process's engine for the database; the same engine each time."""
        return wiring.engine_of(self.url.get_secret_value())
