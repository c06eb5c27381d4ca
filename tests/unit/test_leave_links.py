"""The link to unsubscribe that the HTTP service shows, in a preview and in what was sent: one, as the worker makes it."""

import pytest
from pydantic import SecretStr

from mailroom.api.sent_views import leave_url
from mailroom.domain.delivery.unsubscribe import PATH, verify
from mailroom.testing.api import Memory

MESSAGE = "0190a1b2-0000-7000-8000-00000000000a"
KEY = "a key of some length"


@pytest.mark.parametrize("base", ["https://m.test", "https://m.test/", "http://m.test", ""])
@pytest.mark.parametrize("key", [KEY, None])
def test_there_is_a_link_where_there_is_a_key_and_an_address(base: str, key: str | None) -> None:
    """Without a key nothing is signed, least of all with an empty one."""
    changes = {"public_url": base, "api_url": "", "unsubscribe_key": SecretStr(key) if key else None}
    services = Memory().services()
    settings = services.settings.model_copy(update=changes)

    link = leave_url(settings)

    assert (link is not None) == (key is not None and base.startswith("https://"))
    if link is not None:
        prefix, _, token = link(MESSAGE).rpartition("/")
        assert (f"{prefix}/", verify(token, key=KEY.encode())) == (f"https://m.test{PATH}", MESSAGE)
