"""Quotas: what a tenant may send in an hour, a day and a month, a provider's rate, and when the last mail may be sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Period(StrEnum):
    """A calendar period, in UTC."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Allowance:
    """The mails that a tenant may send in each period; None is no limit."""

    hour: int | None = None
    day: int | None = None
    month: int | None = None

    def of(self, period: Period) -> int | None:
        """Return the limit of one period."""
        limit: int | None = getattr(self, period.value)
        return limit


@dataclass(frozen=True, slots=True)
class ProviderRate:
    """A provider's limits; None means no known limit. With `paused` it accepts nothing."""

    per_second: float | None = None
    per_day: int | None = None
    sent_today: int = 0
    paused: bool = False


def start_of(period: Period, now: datetime) -> datetime:
    """Return the start of the period that contains `now`."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    if period is Period.HOUR:
        return hour
    day = hour.replace(hour=0)
    return day if period is Period.DAY else day.replace(day=1)


def next_start(period: Period, now: datetime) -> datetime:
    """Return the start of the period after the one that contains `now`."""
    begun = start_of(period, now)
    if period is Period.HOUR:
        return begun + timedelta(hours=1)
    if period is Period.DAY:
        return begun + timedelta(days=1)
    return (begun + timedelta(days=32)).replace(day=1)


def remaining(allowance: Allowance, used: Mapping[Period, int]) -> int | None:
    """Return how many mails may be sent now; None is no limit."""
    left = [limit - used.get(period, 0) for period in Period if (limit := allowance.of(period)) is not None]
    return max(0, min(left)) if left else None


def opens_at(allowance: Allowance, used: Mapping[Period, int], now: datetime) -> datetime:
    """Return when the next mail may be sent: `now`, or when the last exhausted period has ended."""
    full = [
        next_start(period, now)
        for period in Period
        if (limit := allowance.of(period)) is not None and used.get(period, 0) >= limit
    ]
    return max(full, default=now)


def done_at(allowance: Allowance, used: Mapping[Period, int], mails: int, now: datetime) -> datetime | None:
    """Return when the last of `mails` may be sent, by the quota alone; None if it never may (a limit of 0)."""
    if mails and any(limit is not None and limit <= 0 for limit in map(allowance.of, Period)):
        return None
    counted, time = {period: used.get(period, 0) for period in Period}, now
    while (room := remaining(allowance, counted)) is not None and room < mails:
        mails -= room
        counted = {period: count + room for period, count in counted.items()}
        later = opens_at(allowance, counted, time)
        counted = {period: counted[period] if start_of(period, later) <= time else 0 for period in Period}
        time = later
    return time


def earliest_end(
    allowance: Allowance, used: Mapping[Period, int], mails: int, now: datetime, *, pace: ProviderRate
) -> datetime | None:
    """Return when the last of `mails` may be sent, by the quota and the provider's daily limit and rate; None if unknown.

    It is the earliest time: other mail that is sent meanwhile delays it.
    """
    if pace.paused:
        return None
    try:
        quota = done_at(allowance, used, mails, now)
        day = done_at(Allowance(day=pace.per_day), {Period.DAY: pace.sent_today}, mails, now)
        if quota is None or day is None or pace.per_second == 0:
            return None
        rate = now + timedelta(seconds=mails / pace.per_second) if pace.per_second else now
    except (OverflowError, ValueError):
        # A hundred thousand mails at one a month end after the last date of `datetime`.
        return None
    return max(quota, day, rate)
