"""Opens what commands work on, from the environment or the running embedded stack."""

import re
from functools import cached_property

from sqlalchemy import Engine

from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.inbound.processing import SqlProcessings
from mailroom.adapters.postgres.outbound.following import SqlFollower
from mailroom.adapters.postgres.tenants.directory import SqlDirectory, SqlTenants
from mailroom.adapters.postgres.tenants.senders import SqlSenders
from mailroom.adapters.prefect.http import PrefectRuns
from mailroom.domain.errors import ConfigurationError
from mailroom.inbound.routing import NOBODY
from mailroom.settings import Settings, load_settings

_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def tenant_named(name: str) -> str:
    """Return `name`, if a tenant may be called so.

    Raises:
        ConfigurationError: it may not.
    """
    if not _TENANT.fullmatch(name) or name == NOBODY:
        raise ConfigurationError(f"{name!r} is no tenant's name; write small letters, digits and dashes")
    return name


class Opened:
    """Ports, opened when first used."""

    @cached_property
    def settings(self) -> Settings:
        """Where everything is."""
        return load_settings()

    @cached_property
    def engine(self) -> Engine:
        """Mailroom's database."""
        return make_engine(self.settings.database_url.get_secret_value(), pool_size=2)

    @cached_property
    def ledger(self) -> SqlLedger:
        """The book of received e-mails."""
        return SqlLedger(self.engine)

    @cached_property
    def processings(self) -> SqlProcessings:
        """What processors did with received e-mails."""
        return SqlProcessings(self.engine)

    @cached_property
    def follower(self) -> SqlFollower:
        """What became of outbound mail."""
        return SqlFollower(self.engine)

    @cached_property
    def directory(self) -> SqlDirectory:
        """Who receives at which address."""
        return SqlDirectory(self.engine)

    @cached_property
    def tenants(self) -> SqlTenants:
        """What each customer has chosen."""
        return SqlTenants(self.engine)

    @cached_property
    def senders(self) -> SqlSenders:
        """From which addresses each customer sends."""
        return SqlSenders(self.engine)

    @cached_property
    def runs(self) -> PrefectRuns:
        """The orchestrator."""
        return PrefectRuns(api_url=self.settings.prefect_api_url, ui_url=self.settings.prefect_url)
