"""Which senders are served where a second provider takes over: those of either; on the emulator and a server with blocks."""

from collections.abc import Iterator
from typing import Any

import pytest

from mailroom.adapters.prefect.provider_blocks import ProviderBlocks
from mailroom.adapters.providers.sender_lookup import SenderLookup
from mailroom.adapters.providers.ses_identities import ses_identities
from mailroom.sandbox.stack.environment import ACCOUNT
from tests.contract.test_sender_command import SES, Prefect
from tests.support.http_server import serving

SECOND = {"account_id": ACCOUNT, "credentials": {"region_name": "eu-central-1"}}


@pytest.fixture
def prefect() -> Prefect:
    return Prefect()


@pytest.fixture
def lookup(prefect: Prefect, aws: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SenderLookup]:
    """Two regions of SES, each with a verified domain of its own."""
    monkeypatch.setattr("mailroom.adapters.prefect.provider_blocks._TIMEOUT_S", 30.0)
    ses_identities(ACCOUNT, "eu-west-1").create("one.test", mail_from="")
    ses_identities(ACCOUNT, "eu-central-1").create("other.test", mail_from="")
    with serving(prefect.app()) as url:
        yield SenderLookup(ProviderBlocks(api_url=f"{url}/api"), account_id=ACCOUNT, region="eu-west-1")


def blocks(second: str) -> dict[str, dict[str, Any]]:
    outbound = {"provider": "mailroom-provider-ses/default", "second": second}
    return SES | {"mailroom-outbound/outbound": outbound, "mailroom-provider-ses/other": SECOND}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("second", "served"),
    [
        ("", ["one.test"]),
        ("mailroom-provider-ses/other", ["one.test", "other.test"]),
        ("mailroom-provider-ses/gone", ["one.test"]),
    ],
)
def test_a_sender_that_the_second_provider_serves_is_accepted(
    prefect: Prefect, lookup: SenderLookup, second: str, served: list[str]
) -> None:
    """Its mail goes by the second, after the first has refused it."""
    prefect.blocks = blocks(second)

    found = lookup.served()

    assert found is not None
    assert [name for name in ("one.test", "other.test", "none.test") if found.covering(f"a@{name}")] == served


def test_a_second_provider_without_a_list_may_serve_any_sender(prefect: Prefect, lookup: SenderLookup) -> None:
    """Nothing is refused where it is not known; sending shows the rest."""
    prefect.blocks = blocks("mailroom-provider-smtp/relay") | {"mailroom-provider-smtp/relay": {"host": "x.test"}}

    assert lookup.served() is None


def test_without_a_first_provider_no_sender_is_checked(prefect: Prefect, lookup: SenderLookup) -> None:
    """No worker was started yet, or Prefect is away."""
    assert lookup.served() is None
    prefect.status = 503
    assert lookup.served() is None
