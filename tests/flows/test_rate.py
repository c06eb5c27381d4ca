"""The port `Rate` on a Prefect server: never more in a second than the provider allows, whoever asks."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness

from mailroom.adapters.prefect_http import http_client
from mailroom.adapters.prefect_rate import Bucket, PrefectRate
from mailroom.domain.errors import TransientError
from mailroom.domain.outbound import Lane
from mailroom.sending import ProviderQuota


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    """A Prefect server of this module's own."""
    with prefect_test_harness(server_startup_timeout=120):
        yield http_client(str(PREFECT_API_URL.value()))


class Turns:
    """Remembers when how many mails got their turn."""

    def __init__(self, rate: PrefectRate, lane: Lane = Lane.TRANSACTIONAL, most: int = 1000) -> None:
        self.rate, self.lane, self.most = rate, lane, most
        self.taken: list[tuple[float, int]] = []

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if turn := self.rate.wait(self.most, lane=self.lane):
                self.taken.append((time.monotonic(), turn))

    @property
    def mails(self) -> int:
        return sum(mails for _, mails in self.taken)


def together(seconds: float, *all_turns: Turns) -> list[tuple[float, int]]:
    threads = [threading.Thread(target=turns.run, args=[seconds]) for turns in all_turns]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(turn for turns in all_turns for turn in turns.taken)


def most_in_a_second(taken: list[tuple[float, int]]) -> int:
    return max(sum(mails for at, mails in taken if begin <= at < begin + 1) for begin, _ in taken)


def rate_of(http: httpx.Client, quota: Callable[[], ProviderQuota] | float, **changes: Any) -> PrefectRate:
    told = quota if callable(quota) else lambda: ProviderQuota(per_second=quota)
    return PrefectRate(http, changes.pop("identity", f"ses/{uuid4()}/eu-west-1"), quota=told, otherwise=5, **changes)


def limit_of(http: httpx.Client, rate: PrefectRate) -> dict[str, Any]:
    found: dict[str, Any] = http.get(f"/v2/concurrency_limits/{rate.name}").raise_for_status().json()
    return found


def set_in_the_ui(http: httpx.Client, rate: PrefectRate, **changes: Any) -> None:
    http.patch(f"/v2/concurrency_limits/{rate.name}", json=changes).raise_for_status()


@pytest.mark.parametrize("per_second", [1, 5, 14, 50, 200, 1000])
def test_a_bucket_lets_no_more_through_in_a_second_than_the_rate(per_second: float) -> None:
    """A full bucket and what drains in the same second come on top of each other."""
    bucket = Bucket.of(per_second)

    assert 0.75 * per_second <= bucket.slot_decay_per_second < per_second
    assert bucket.limit == 1 or bucket.limit + bucket.slot_decay_per_second <= per_second


@pytest.mark.parametrize("per_second", [14, 200])
def test_two_workers_together_keep_the_rate(http: httpx.Client, per_second: float) -> None:
    """The limit is the account's, not a process's."""
    identity = f"ses/{uuid4()}/eu-west-1"
    one, other = (Turns(rate_of(http, per_second, identity=identity)) for _ in range(2))

    taken = together(4, one, other)

    assert most_in_a_second(taken) <= per_second
    assert sum(mails for _, mails in taken) >= 4 * per_second * 0.4


def test_transactional_mail_overtakes_bulk(http: httpx.Client) -> None:
    """A newsletter of hours must not keep a password reset waiting."""
    identity = f"ses/{uuid4()}/eu-west-1"
    bulk = Turns(rate_of(http, 60, identity=identity), Lane.BULK)
    transactional = Turns(rate_of(http, 60, identity=identity))

    together(3, bulk, transactional)

    assert transactional.mails > 3 * bulk.mails


def test_two_bulk_batches_share(http: httpx.Client) -> None:
    """None waits for the other's end."""
    identity = f"ses/{uuid4()}/eu-west-1"
    one, other = (Turns(rate_of(http, 60, identity=identity), Lane.BULK) for _ in range(2))

    together(4, one, other)

    assert min(one.mails, other.mails) >= 0.2 * (one.mails + other.mails)


def test_the_limit_follows_the_quota(http: httpx.Client) -> None:
    """SES raises an account's rate without telling anybody."""
    now, allowed = [0.0], [14.0]
    rate = rate_of(http, lambda: ProviderQuota(per_second=allowed[0]), clock=lambda: now[0])
    rate.wait(1)
    allowed[0], now[0] = 50.0, 61.0

    rate.wait(1)

    assert (limit_of(http, rate)["limit"], limit_of(http, rate)["slot_decay_per_second"]) == (8, 42.0)


def test_what_an_operator_set_stays(http: httpx.Client) -> None:
    """Whoever slows a provider down in the UI has a reason that no quota knows."""
    now, allowed = [0.0], [14.0]
    rate = rate_of(http, lambda: ProviderQuota(per_second=allowed[0]), clock=lambda: now[0])
    rate.wait(1)
    set_in_the_ui(http, rate, limit=1, slot_decay_per_second=3.0)
    allowed[0], now[0] = 50.0, 61.0

    rate.wait(1)

    assert (limit_of(http, rate)["limit"], limit_of(http, rate)["slot_decay_per_second"]) == (1, 3.0)


@pytest.mark.parametrize("change", [{"limit": 0}, {"active": False}])
def test_an_operator_stops_a_provider(http: httpx.Client, change: dict[str, Any]) -> None:
    """Prefect itself would let everything through where a limit is switched off."""
    rate = rate_of(http, 200, clock=iter(range(10_000)).__next__, sleep=lambda _: None)
    rate.wait(1)
    set_in_the_ui(http, rate, **change)

    assert rate.wait(10) == 0


def test_a_limit_that_somebody_deleted_is_made_again(http: httpx.Client) -> None:
    """A missing limit would let everything through at full speed."""
    rate = rate_of(http, 14)
    rate.wait(1)
    http.delete(f"/v2/concurrency_limits/{rate.name}").raise_for_status()

    rate.wait(1)

    assert limit_of(http, rate)["limit"] == 2


def test_a_provider_that_tells_nothing_gets_the_installations_rate(http: httpx.Client) -> None:
    """SMTP has no question for it."""
    rate = rate_of(http, ProviderQuota)

    rate.wait(1)

    assert limit_of(http, rate)["slot_decay_per_second"] == 4.5


def test_nothing_goes_while_the_server_is_away() -> None:
    """Nobody counts then."""
    rate = rate_of(http_client("http://127.0.0.1:9/api"), 14)

    with pytest.raises(TransientError):
        rate.wait(1)
