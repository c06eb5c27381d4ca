"""A provider's limit on a Prefect server: created from its quota, changed by an operator."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.settings import PREFECT_API_URL

from mailroom.adapters.prefect.http import http_client
from mailroom.adapters.prefect.rate import PrefectLimit
from mailroom.domain.errors import TransientError
from mailroom.domain.outbound.rate_slots import RateSlots
from mailroom.ports.provider import ProviderQuota


@pytest.fixture(scope="module")
def http(server: None) -> Iterator[httpx.Client]:
    """A client of the module's Prefect server."""
    ours = http_client(str(PREFECT_API_URL.value()))
    with httpx.Client(base_url=ours.base_url, headers=ours.headers, timeout=60) as http:
        yield http


class LimitOnServer:
    """A limit whose clock and quota a test moves."""

    def __init__(self, http: httpx.Client, per_second: float | None = 14.0) -> None:
        self.http, self.now, self.per_second = http, 0.0, per_second
        self.reported: list[float] = []
        identity = f"ses/{uuid4()}/eu-west-1"
        self.limit = PrefectLimit(
            http, identity, quota=self.quota, otherwise=5, publish=self.reported.append, clock=self.clock
        )

    def quota(self) -> ProviderQuota:
        return ProviderQuota(per_second=self.per_second)

    def clock(self) -> float:
        return self.now

    def pace_after(self, seconds: float) -> RateSlots | None:
        self.now += seconds
        return self.limit.pace()

    @property
    def numbers(self) -> tuple[int, float]:
        found = self.http.get(f"/v2/concurrency_limits/{self.limit.name}").raise_for_status().json()
        return found["limit"], found["slot_decay_per_second"]

    def set_in_the_ui(self, **changes: Any) -> None:
        self.http.patch(f"/v2/concurrency_limits/{self.limit.name}", json=changes).raise_for_status()


def test_the_limit_shows_what_the_provider_allows(http: httpx.Client) -> None:
    """An operator reads mails a second, and nothing that must be calculated."""
    one = LimitOnServer(http)

    assert one.limit.pace() == RateSlots(14, 1.0)
    assert one.numbers == (14, 14.0)


def test_the_limit_follows_the_quota(http: httpx.Client) -> None:
    """SES raises an account's rate without notice."""
    one = LimitOnServer(http)
    one.limit.pace()
    one.per_second = 50.0

    assert one.pace_after(61) == RateSlots(50, 1.0)
    assert one.numbers == (50, 50.0)


@pytest.mark.parametrize(
    ("change", "pace"),
    [
        ({"limit": 3}, RateSlots(3, 1.0)),
        ({"slot_decay_per_second": 0.5}, RateSlots(1, 2.0)),
        ({"limit": 100, "slot_decay_per_second": 100.0}, RateSlots(14, 1.0)),
        ({"limit": 0}, None),
        ({"slot_decay_per_second": 0}, None),
        ({"active": False}, None),
    ],
    ids=["fewer", "slower", "more-than-allowed", "none", "no-decay", "off"],
)
def test_what_an_operator_sets_is_used_within_seconds_and_stays(
    http: httpx.Client, change: dict[str, Any], pace: RateSlots | None
) -> None:
    """An operator who slows a provider down in the UI has a reason that the quota does not show."""
    one = LimitOnServer(http)
    one.limit.pace()
    one.set_in_the_ui(**change)
    numbers = one.numbers

    assert one.pace_after(2) == pace
    one.pace_after(61)
    assert one.numbers == numbers


def test_the_limit_in_force_is_reported_at_once_and_each_minute(http: httpx.Client) -> None:
    """The metrics show it, and a worker that reads it every two seconds need not write it as often."""
    one = LimitOnServer(http)
    one.limit.pace()
    one.pace_after(2)
    one.set_in_the_ui(limit=3)
    one.pace_after(2)
    one.set_in_the_ui(active=False)
    one.pace_after(2)
    one.pace_after(61)

    assert one.reported == [14.0, 3, 0.0, 0.0]


def test_a_limit_that_somebody_deleted_is_made_again(http: httpx.Client) -> None:
    """An operator could not edit a limit that is not there."""
    one = LimitOnServer(http)
    one.limit.pace()
    http.delete(f"/v2/concurrency_limits/{one.limit.name}").raise_for_status()

    assert one.pace_after(2) == RateSlots(14, 1.0)
    assert one.numbers == (14, 14.0)


@pytest.mark.parametrize(("per_second", "numbers"), [(None, (5, 5.0)), (0.5, (1, 0.5))])
def test_a_rate_that_is_unknown_or_below_one_is_kept_too(
    http: httpx.Client, per_second: float | None, numbers: tuple[int, float]
) -> None:
    """SMTP cannot be asked for its rate, and some relays accept a mail every other second."""
    one = LimitOnServer(http, per_second)

    assert one.limit.pace() == RateSlots.of(numbers[1])
    assert one.numbers == numbers


def test_while_the_server_is_away_the_last_limit_holds_for_a_minute(http: httpx.Client) -> None:
    """A restart of the server must not stop batches; after that nobody could stop them."""
    one = LimitOnServer(http)
    one.limit.pace()
    one.limit._http = http_client("http://127.0.0.1:9/api")

    assert one.pace_after(30) == RateSlots(14, 1.0)
    with pytest.raises(TransientError):
        one.pace_after(31)


def test_a_server_that_was_never_there_allows_nothing() -> None:
    """The limit that an operator set there is not known."""
    quota: Callable[[], ProviderQuota] = ProviderQuota
    limit = PrefectLimit(http_client("http://127.0.0.1:9/api"), "ses/1/eu-west-1", quota=quota, otherwise=5)

    with pytest.raises(TransientError):
        limit.pace()
