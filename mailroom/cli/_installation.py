"""Opens what commands work on, from the environment or the running embedded stack."""

from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.inbound.processing import SqlProcessings
from mailroom.adapters.postgres.outbound.message_reader import SqlMessageReader
from mailroom.adapters.postgres.tenants.directory import SqlDirectory, SqlTenants
from mailroom.adapters.postgres.tenants.senders import SqlSenders
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.tenants import tenant_name
from mailroom.wiring import COMMAND, Installation


def tenant_named(name: str) -> str:
    """Return `name`, if a tenant may be called so.

    Raises:
        ConfigurationError: it may not.
    """
    try:
        return tenant_name(name)
    except ValueError as error:
        raise ConfigurationError(f"{name!r}: {error}") from None


class Opened(Installation):
    """The installation that a command works on; its database is asked by one thread."""

    def __init__(self) -> None:
        super().__init__(budget=COMMAND)

    @property
    def ledger(self) -> SqlLedger:
        """The book of received e-mails."""
        return self.store.ledger

    @property
    def processings(self) -> SqlProcessings:
        """What processors did with received e-mails."""
        return self.store.processings

    @property
    def message_reader(self) -> SqlMessageReader:
        """What became of outbound mail."""
        return self.store.message_reader

    @property
    def directory(self) -> SqlDirectory:
        """Who receives at which address."""
        return self.store.directory

    @property
    def tenants(self) -> SqlTenants:
        """What each customer has chosen."""
        return self.store.tenants

    @property
    def senders(self) -> SqlSenders:
        """From which addresses each customer sends."""
        return self.store.senders
