"""The port `Rate` in memory and on PostgreSQL; how a real one shares and keeps its seconds is in `test_rate_permits_sql`."""

from collections.abc import Callable

import pytest

from mailroom.adapters.postgres.outbound.rate_permits import SqlRate
from mailroom.domain.outbound.message import Lane
from mailroom.domain.outbound.rate_slots import RateSlots
from mailroom.ports.rate import Rate
from mailroom.testing.rate import MemoryRate


@pytest.fixture(params=["memory", "sql"])
def rate_of(request: pytest.FixtureRequest) -> Callable[[int], Rate]:
    """Make a rate with a number of slots."""
    if request.param == "memory":
        return lambda places: MemoryRate(places=places)
    engine = request.getfixturevalue("engine")

    def made(places: int) -> Rate:
        return SqlRate(engine, "ses/1/eu-west-1", pace=lambda: RateSlots(places, 1.0) if places else None, patience_s=0)

    return made


@pytest.mark.parametrize("lane", Lane)
def test_there_are_at_most_as_many_permits_as_mails_in_order_of_time(
    rate_of: Callable[[int], Rate], lane: Lane
) -> None:
    """A batch of two takes nothing from the next one."""
    permits = rate_of(10).wait(2, lane=lane)

    assert 1 <= len(permits) <= 2
    assert [permit.at for permit in permits] == sorted(permit.at for permit in permits)
    assert all(permit.at <= permit.until for permit in permits)


def test_a_released_permit_is_available_again(rate_of: Callable[[int], Rate]) -> None:
    """Until then no other batch has its slot."""
    rate = rate_of(1)

    [permit] = rate.wait(5)
    meanwhile = rate.wait(5)
    rate.give_back([permit])

    assert meanwhile == []
    assert len(rate.wait(5)) == 1


def test_nothing_goes_at_a_rate_of_nothing(rate_of: Callable[[int], Rate]) -> None:
    """0 in the UI is a stop, and no permit was taken."""
    rate = rate_of(0)

    assert rate.wait(5) == []
    rate.give_back([])
