"""What providers allow, as workers last read it, in SQL: the HTTP service has no provider to query."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

from sqlalchemy import Engine, Table, select
from sqlalchemy.dialects.postgresql import insert

from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import table
from mailroom.adapters.postgres.outbound.models import ProviderRow, RateRow
from mailroom.adapters.postgres.skipped_rows import sound
from mailroom.domain.outbound.quotas import ProviderRate
from mailroom.domain.outbound.rate_slots import RateLimit
from mailroom.ports.terms import ProviderTerms

_rows, _rates = table(ProviderRow), table(RateRow)

#: Older values are ignored.
_FRESH = timedelta(days=1)


class SqlTerms:
    """The port `Terms` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def publish(self, terms: ProviderTerms) -> None:
        """Store what a provider allows now."""
        values = {
            "name": terms.name,
            "per_second": terms.pace.per_second,
            "per_day": terms.pace.per_day,
            "sent_today": terms.pace.sent_today,
            "paused": terms.pace.paused,
            "max_bytes": terms.max_bytes,
            "told_at": terms.told_at,
        }
        self._keep(_rows, terms.identity, values)

    def known(self, *, now: datetime) -> ProviderTerms | None:
        """Return the newest terms that are at most a day old and usable, or None."""
        usable = _rows.c.told_at > now - _FRESH, sound(_rows.c.told_at), _rows.c.max_bytes > 0
        wanted = select(_rows).where(*usable).order_by(_rows.c.told_at.desc()).limit(1)
        with transaction(self._engine) as connection:
            row = connection.execute(wanted).first()
        if row is None:
            return None
        return ProviderTerms(
            identity=row.identity,
            name=row.name,
            # JSON has no infinity and no NaN.
            pace=ProviderRate(_finite(row.per_second), row.per_day, row.sent_today or 0, row.paused),
            max_bytes=row.max_bytes,
            told_at=row.told_at,
        )

    def hold(self, rate: RateLimit, *, now: datetime) -> None:
        """Store the rate that an account is limited to now."""
        values = {"provider": rate.provider, "per_second": rate.per_second, "told_at": now}
        self._keep(_rates, rate.identity, values)

    def _keep(self, rows: Table, identity: str, values: Mapping[str, Any]) -> None:
        row = insert(rows).values(identity=identity, **values)
        with transaction(self._engine) as connection:
            connection.execute(row.on_conflict_do_update(index_elements=["identity"], set_=dict(values)))


def _finite(rate: float | None) -> float | None:
    return rate if rate is not None and isfinite(rate) else None
