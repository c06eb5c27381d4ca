"""Quotas by the calendar: how many mails may be sent now, and when the rest."""

from datetime import UTC, datetime, timedelta

import pytest

from mailroom.domain.outbound.quotas import (
    Allowance,
    Period,
    ProviderRate,
    done_at,
    earliest_end,
    next_start,
    opens_at,
    remaining,
    start_of,
)

NOW = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("period", Period)
def test_every_window_ends_where_the_next_begins(period: Period) -> None:
    """At the end of a year all three end at once."""
    assert next_start(period, NOW) == NEW_YEAR
    assert start_of(period, NEW_YEAR) == NEW_YEAR
    assert start_of(period, NOW) <= NOW


def test_the_tightest_limit_counts() -> None:
    """Room in the month is no use when the hour is full."""
    allowance = Allowance(hour=10, day=100)

    assert remaining(allowance, {}) == 10
    assert remaining(allowance, {Period.DAY: 95}) == 5
    assert remaining(allowance, {Period.HOUR: 12}) == 0
    assert remaining(Allowance(), {Period.HOUR: 12}) is None


def test_the_next_mail_goes_when_the_last_full_window_has_ended() -> None:
    """A full day is not over at the end of its hour."""
    morning = NOW.replace(hour=9)

    assert opens_at(Allowance(hour=1), {Period.HOUR: 1}, morning) == morning.replace(hour=10, minute=0)
    assert opens_at(Allowance(hour=1, day=1), {Period.HOUR: 1, Period.DAY: 1}, morning) == NEW_YEAR
    assert opens_at(Allowance(hour=2), {Period.HOUR: 1}, morning) == morning


@pytest.mark.parametrize(
    ("mails", "hours"), [(0, 0), (10, 0), (11, 1), (25, 2), (30, 2), (31, 24)], ids=lambda value: str(value)
)
def test_the_last_of_many_goes_by_all_limits_together(mails: int, hours: int) -> None:
    """Ten an hour and thirty a day: the thirty-first waits for tomorrow."""
    midnight = datetime(2026, 11, 22, tzinfo=UTC)

    done = done_at(Allowance(hour=10, day=30), {}, mails, midnight)

    assert done == midnight + timedelta(hours=hours)


def test_a_limit_of_nothing_is_never_done() -> None:
    """An estimate for a tenant that is stopped must not count for ever."""
    assert done_at(Allowance(day=0), {}, 1, NOW) is None
    assert done_at(Allowance(day=0), {}, 0, NOW) == NOW


@pytest.mark.parametrize(
    ("pace", "end"),
    [
        (ProviderRate(), NOW),
        (ProviderRate(per_second=10), NOW + timedelta(seconds=10)),
        (ProviderRate(per_second=10, per_day=1_000, sent_today=950), NEW_YEAR),
        (ProviderRate(per_day=60), NEW_YEAR),
        (ProviderRate(per_day=40), NEW_YEAR + timedelta(days=1)),
        (ProviderRate(per_second=0), None),
        (ProviderRate(per_day=0), None),
        (ProviderRate(paused=True), None),
    ],
    ids=["no-limit", "rate", "day-used-up", "day", "days", "stopped", "no-day", "paused"],
)
def test_the_end_is_not_before_what_the_provider_takes(pace: ProviderRate, end: datetime | None) -> None:
    """A hundred mails at ten a second take ten seconds, even if the tenant's quota allows more."""
    assert earliest_end(Allowance(), {}, 100, NOW, pace=pace) == end


def test_the_slower_of_quota_and_provider_counts() -> None:
    """The later of both ends counts."""
    assert earliest_end(Allowance(hour=60), {}, 100, NOW, pace=ProviderRate(per_second=10)) == NEW_YEAR
    assert earliest_end(Allowance(hour=0), {}, 1, NOW, pace=ProviderRate(per_second=10)) is None
