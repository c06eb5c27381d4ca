"""Tenants' quotas and their use, in SQL. A claim and its count are one transaction."""

from datetime import datetime

from sqlalchemy import Connection, Engine, and_, or_, select, text
from sqlalchemy.dialects.postgresql import insert

from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import TenantRow, table
from mailroom.adapters.postgres.outbound.models import QuotaRow, QuotaUseRow
from mailroom.domain.outbound.quotas import Allowance, Period, opens_at, remaining, start_of

_quotas, _uses, _tenants = table(QuotaRow), table(QuotaUseRow), table(TenantRow)

_SPEND = text("""
    insert into quota_use as counted (tenant, period, starts_at, used) values (:tenant, :period, :starts_at, :mails)
    on conflict (tenant, period, starts_at) do update set used = greatest(counted.used + :signed, 0)
""")


class SqlQuotas:
    """The port `Quotas` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def allowance(self, tenant: str) -> Allowance:
        """Return the tenant's limits; without any set, none apply."""
        with transaction(self._engine) as connection:
            return _allowance(connection, tenant, locked=False)

    def allow(self, tenant: str, allowance: Allowance) -> None:
        """Set the tenant's limits."""
        limits = {"hour": allowance.hour, "day": allowance.day, "month": allowance.month}
        row = insert(_quotas).values(tenant=tenant, **limits)
        from_now_on = datetime.now().astimezone()
        with transaction(self._engine) as connection:
            connection.execute(insert(_tenants).values(id=tenant, created_at=from_now_on).on_conflict_do_nothing())
            connection.execute(row.on_conflict_do_update(index_elements=["tenant"], set_=limits))

    def used(self, tenant: str, *, now: datetime) -> dict[Period, int]:
        """Return the number of mails counted in each of the current periods."""
        with transaction(self._engine) as connection:
            return _used(connection, tenant, now)


def room_for(connection: Connection, tenant: str, now: datetime) -> tuple[int | None, datetime]:
    """Return how many mails the tenant's quota still allows (None: any number), and when it allows more.

    A concurrent claim for the same tenant waits until this transaction ends, so that both cannot use the same allowance.
    """
    allowance = _allowance(connection, tenant, locked=True)
    used = _used(connection, tenant, now)
    return remaining(allowance, used), opens_at(allowance, used, now)


def spend(connection: Connection, tenant: str, mails: int, now: datetime) -> None:
    """Count mails in each of the current periods."""
    for period in Period:
        values = {"tenant": tenant, "period": period, "starts_at": start_of(period, now)}
        connection.execute(_SPEND, {**values, "mails": max(mails, 0), "signed": mails})


def give_back(connection: Connection, tenant: str, mails: int, now: datetime) -> None:
    """Subtract mails that were counted and not sent."""
    spend(connection, tenant, -mails, now)


def _allowance(connection: Connection, tenant: str, *, locked: bool) -> Allowance:
    wanted = select(_quotas).where(_quotas.c.tenant == tenant)
    row = connection.execute(wanted.with_for_update() if locked else wanted).first()
    return Allowance(row.hour, row.day, row.month) if row else Allowance()


def _used(connection: Connection, tenant: str, now: datetime) -> dict[Period, int]:
    column = _uses.c
    current = or_(*(and_(column.period == period, column.starts_at == start_of(period, now)) for period in Period))
    counted = dict.fromkeys(Period, 0)
    for row in connection.execute(select(column.period, column.used).where(column.tenant == tenant, current)):
        counted[Period(row.period)] = row.used
    return counted
