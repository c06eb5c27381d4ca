"""Opens the installation of a command, from the environment or the running embedded stack."""

from mailroom.adapters.postgres.delivery.unsubscribing import SqlUnsubscribing
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.inbound.processing import SqlProcessings
from mailroom.adapters.postgres.outbound.message_reader import SqlMessageReader
from mailroom.adapters.postgres.tenants.addresses import SqlAddresses
from mailroom.adapters.postgres.tenants.directory import SqlTenants
from mailroom.adapters.postgres.tenants.senders import SqlSenders
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.tenants import tenant_name
from mailroom.wiring import COMMAND, Installation


def tenant_named(name: str) -> str:
    """Return `name`, if it is a valid tenant name.

    Raises:
        ConfigurationError: it is invalid.
    """
    try:
        return tenant_name(name)
    except ValueError as error:
        raise ConfigurationError(f"{name!r}: {error}") from None


class Opened(Installation):
    """The installation of a command; one thread uses its database."""

    def __init__(self) -> None:
        super().__init__(budget=COMMAND)

    @property
    def ledger(self) -> SqlLedger:
        """The ledger of received e-mails."""
        return self.store.ledger

    @property
    def processings(self) -> SqlProcessings:
        """The results of processors."""
        return self.store.processings

    @property
    def message_reader(self) -> SqlMessageReader:
        """The reader of outbound messages and their history."""
        return self.store.message_reader

    @property
    def directory(self) -> SqlAddresses:
        """The addresses that receive, with their users."""
        return self.store.directory

    @property
    def tenants(self) -> SqlTenants:
        """The tenants' policies and webhooks."""
        return self.store.tenants

    @property
    def unsubscribing(self) -> SqlUnsubscribing:
        """What an unsubscribe from each tenant's mail covers."""
        return self.store.unsubscribing

    @property
    def senders(self) -> SqlSenders:
        """The tenants' sender addresses."""
        return self.store.senders
