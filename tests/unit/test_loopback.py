"""Which requests are accepted as from the server's own pages, or from a program."""

import pytest

from mailroom.domain.operations.loopback import is_own, names_this_machine


@pytest.mark.parametrize("host", ["127.0.0.1:4200", "localhost:4200", "LOCALHOST:4200", "[::1]:4200", "127.0.0.1"])
def test_programs_and_own_pages_are_let_in(host: str) -> None:
    """Programs name no origin; a page's is where it was loaded from, under either name of this machine."""
    port = host.partition(":4200")[1]

    assert is_own([host], [])
    assert is_own([host], [f"http://127.0.0.1{port}"])
    assert is_own([host], [f"http://localhost{port}"])


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.test",
        "http://evil.test:4200",
        "http://127.0.0.1.evil.test:4200",
        "http://127.0.0.1:8025",
        "http://127.0.0.1",
        "https://127.0.0.1:4200",
        "http://127.0.0.1:4200@evil.test",
        "http://localhost:4200/",
        "localhost:4200",
        "null",
        "",
    ],
)
def test_pages_of_others_are_not(origin: str) -> None:
    """Another port is another site, such as our own inbox pages; sandboxed frames and files have the origin `null`."""
    assert not is_own(["127.0.0.1:4200"], [origin])
    assert not is_own(["127.0.0.1:4200"], ["http://127.0.0.1:4200", origin])


@pytest.mark.parametrize(
    "hosts",
    [[], [""], ["evil.test:4200"], ["evil.test"], ["localhost.evil.test"], ["::1"], ["127.0.0.1:4200", "evil.test"]],
)
def test_a_foreign_name_for_this_machine_is_not(hosts: list[str]) -> None:
    """A DNS name that points at loopback gives a foreign page the same origin (DNS rebinding)."""
    assert not is_own(hosts, [])
    assert not is_own(hosts, [f"http://{host}" for host in hosts])


def test_host_has_any_port() -> None:
    """Tunnels and proxies on this machine have other ports; what is no number is part of the name."""
    assert names_this_machine("localhost:1")
    assert not names_this_machine("localhost:evil.test")
