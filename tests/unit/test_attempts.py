"""The limit of attempts to sign in: which requests count as one client's."""

from dataclasses import replace

import pytest

from mailroom.api.attempts import Attempts
from mailroom.testing.api import Memory, two_tenants
from tests.support.signed_in import OURS
from tests.unit.test_sign_in import app_of, browser


@pytest.fixture
def memory() -> Memory:
    return two_tenants()


def test_a_client_has_few_attempts(memory: Memory) -> None:
    """A limit of each process; waiting helps, and other clients are not held up."""
    now = [0.0]
    attempts = Attempts(2, 60, clock=lambda: now[0])
    app = app_of(memory, behind_tls_proxy=True)
    services = app.state.services
    app.state.services = replace(services, people=replace(services.people, attempts=attempts))
    pages = browser(app)

    def post(client: str) -> int:
        return pages.post("/sign-in/x", headers=OURS | {"X-Forwarded-For": client}).status_code

    assert [post("203.0.113.1, 198.51.100.7") for _ in range(3)] == [404, 404, 429]
    # What the client itself wrote before the proxy's word is not believed.
    assert post("203.0.113.2, 198.51.100.7") == 429
    assert post("198.51.100.8") == 404
    now[0] = 61
    assert post("198.51.100.7") == 404


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        ("unknown", "_hidden", False),
    ],
)
def test_a_network_of_ipv6_is_one_client(memory: Memory, one: str, other: str, is_same: bool) -> None:
    """One line has 2**64 addresses: each attempt could come from another."""
    app = app_of(memory, behind_tls_proxy=True)
    services = app.state.services
    app.state.services = replace(services, people=replace(services.people, attempts=Attempts(1, 60)))
    pages = browser(app)

    first, second = (
        pages.post("/sign-in/x", headers=OURS | {"X-Forwarded-For": client}).status_code for client in (one, other)
    )

    assert (first, second) == (404, 429 if is_same else 404)
