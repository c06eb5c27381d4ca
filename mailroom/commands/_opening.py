"""Opens what commands work on, from the environment or the running embedded stack."""

from functools import cached_property

from sqlalchemy import Engine

from mailroom.adapters.prefect_http import PrefectRuns
from mailroom.adapters.sql.directory import SqlDirectory
from mailroom.adapters.sql.engine import make_engine
from mailroom.adapters.sql.ledger import SqlLedger
from mailroom.settings import Settings, load_settings


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
    def directory(self) -> SqlDirectory:
        """Who receives at which address."""
        return SqlDirectory(self.engine)

    @cached_property
    def runs(self) -> PrefectRuns:
        """The orchestrator."""
        return PrefectRuns(api_url=self.settings.prefect_api_url, ui_url=self.settings.prefect_url)
