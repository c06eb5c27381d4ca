"""Starting the HTTP service."""

import pytest

from mailroom.api.serve import refuse_if_unsafe
from mailroom.api.testing import settings
from mailroom.domain.errors import ConfigurationError


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "mail.example"])
def test_open_pages_are_refused_off_loopback(host: str) -> None:
    """Pages without a key on a network would show everyone's mail to everyone."""
    with pytest.raises(ConfigurationError, match="loopback"):
        refuse_if_unsafe(settings(pages_open=True), host=host)

    refuse_if_unsafe(settings(pages_open=False), host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.2"])
def test_open_pages_are_fine_on_this_machine(host: str) -> None:
    """The laptop's way: no key needed to look at the demo."""
    refuse_if_unsafe(settings(pages_open=True), host=host)
