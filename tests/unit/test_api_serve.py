"""Starting the HTTP service."""

import pytest

from mailroom.adapters.prefect.http import refuse_if_open
from mailroom.api.serve import refuse_if_unsafe
from mailroom.domain.errors import ConfigurationError
from mailroom.testing.api import settings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "mail.example"])
def test_open_pages_are_refused_off_loopback(host: str) -> None:
    """Pages without a key on a network would show everyone's mail to everyone."""
    with pytest.raises(ConfigurationError, match="loopback"):
        refuse_if_unsafe(settings(pages_open=True), host=host)

    refuse_if_unsafe(settings(pages_open=False), host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.2"])
def test_open_pages_are_fine_on_this_machine(host: str) -> None:
    """On a laptop no key is needed to look at the demo."""
    refuse_if_unsafe(settings(pages_open=True), host=host)


@pytest.mark.parametrize(
    "url", ["http://prefect.internal:4200/api", "https://10.0.0.7/api", "http://127.0.0.1.evil.test/api"]
)
def test_a_prefect_that_others_reach_needs_a_password(url: str) -> None:
    """A client of Prefect's API can have workers import and run any code."""
    with pytest.raises(ConfigurationError, match="PREFECT_API_AUTH_STRING"):
        refuse_if_open(url, password=None)

    refuse_if_open(url, password="operator:secret")


@pytest.mark.parametrize("url", ["http://127.0.0.1:4200/api", "http://localhost:4200/api", "http://[::1]:4200/api"])
def test_a_prefect_on_this_machine_needs_none(url: str) -> None:
    """The embedded stack's server has none."""
    refuse_if_open(url, password=None)
