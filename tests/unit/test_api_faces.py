"""The two faces of the service: which route is on which, and where each may listen."""

import re
import socket
from dataclasses import replace

import pytest
from pydantic import SecretStr

from mailroom.api.app import create_app
from mailroom.api.faces import Face
from mailroom.api.listening import ListenAddress, bind, is_loopback, listen, listen_addresses, refuse_plain_http
from mailroom.domain.errors import ConfigurationError
from mailroom.settings import Settings
from mailroom.testing.api import BROWSER, TestClient, settings, two_tenants
from tests.support.api_routes import filled, routes_of
from tests.support.loopback_ports import free_port

PUBLIC = re.compile(r"/(hooks|u|c|o)/.+")
BOTH = {("GET", "/healthz"), ("GET", "/static/mailroom.css"), ("GET", "/static/keys.js")}
ADMIN = {"Authorization": "Bearer admin"}


def client(face: Face) -> TestClient:
    app = create_app(two_tenants().services(), face)
    return TestClient(app, base_url="http://mail.example", follow_redirects=False, headers=ADMIN)


def routes(face: Face) -> set[tuple[str, str]]:
    return set(routes_of(create_app(two_tenants().services(), face)))


def test_every_route_is_on_one_face() -> None:
    """Every router is in the table; public paths have the prefixes that a proxy in front expects."""
    public, private, both = routes(Face.PUBLIC), routes(Face.PRIVATE), routes(Face.BOTH)

    assert public & private == BOTH
    assert public | private == both
    assert {route for route in public - BOTH if not PUBLIC.fullmatch(route[1])} == set()
    assert {route for route in private if PUBLIC.fullmatch(route[1])} == set()
    assert len(public) >= 11
    assert len(private) > 50


@pytest.mark.parametrize("face", [Face.PUBLIC, Face.PRIVATE])
def test_a_route_of_the_other_face_is_not_there(face: Face) -> None:
    """404 and not 401 or 405, with a key too: a missing route reveals nothing, for any client and method."""
    asked, other = client(face), Face.PRIVATE if face is Face.PUBLIC else Face.PUBLIC

    for _, path in routes(other) - routes(face):
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            answer = asked.request(method, filled(path))
            assert answer.status_code == 404, (method, path)
            assert method == "HEAD" or answer.json()["detail"] == "Not Found"
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_default_is_one_port_for_everything() -> None:
    """For a laptop, and for existing installations."""
    both = client(Face.BOTH)

    assert {both.get(path).status_code for path in ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json")} == {
        200
    }
    assert both.get("/u/x").json()["detail"] != "Not Found"
    assert listen_addresses(settings(), host="127.0.0.1", port=1, public_host="", public_port=0) == [
        ListenAddress(Face.BOTH, "127.0.0.1", 1)
    ]


def test_a_recipient_is_not_sent_to_pages_that_are_not_there() -> None:
    """A recipient with a broken link has no inbox; the public face does not even name the product."""
    page = client(Face.PUBLIC).get("/u/cut-off", headers=BROWSER)

    assert (page.status_code, "Copy the whole link" in page.text) == (404, True)
    assert "<a " not in page.text
    assert "Mailroom" not in page.text
    assert client(Face.PUBLIC).get("/static/mailroom.css").status_code == 200


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True), ("127.0.0.2", True), ("127.255.255.254", True), ("::1", True), ("localhost", True),
        ("LocalHost", True), ("0:0:0:0:0:0:0:1", True), ("0.0.0.0", False), ("::", False), ("", False), ("*", False),
        ("10.0.0.5", False), ("192.0.2.7", False), ("fe80::1", False), ("::ffff:127.0.0.1", False), ("128.0.0.1", False),
        ("mail.example", False), ("localhost.example", False), ("localhost.localdomain", False), ("127.0.0.1.nip.io", False),
        ("127.1", False), ("2130706433", False), ("[::1]", False), (" 127.0.0.1", False), ("ip6-localhost", False),
    ],
)  # fmt: skip
def test_plain_http_leaves_this_machine_only_behind_a_tls_proxy(host: str, here: bool) -> None:
    """Keys go with every request. Only what is certainly loopback counts, on each Python: `ipaddress` has changed."""
    assert is_loopback(host) is here
    refuse_plain_http(["127.0.0.1", host], behind_tls_proxy=True)
    if here:
        refuse_plain_http(["127.0.0.1", host], behind_tls_proxy=False)
    else:
        with pytest.raises(ConfigurationError, match=r"MAILROOM_BEHIND_TLS_PROXY=true.*operations.md.*127.0.0.1"):
            refuse_plain_http(["127.0.0.1", host], behind_tls_proxy=False)


def both_ports(given: Settings, public_port: int = 2, public_host: str = "") -> list[ListenAddress]:
    return listen_addresses(given, host="127.0.0.1", port=1, public_host=public_host, public_port=public_port)


def test_each_face_has_its_port_and_may_have_its_host() -> None:
    """The public one on a network, the other on this machine alone."""
    assert both_ports(settings(), public_host="10.0.0.5") == [
        ListenAddress(Face.PRIVATE, "127.0.0.1", 1),
        ListenAddress(Face.PUBLIC, "10.0.0.5", 2, "--public-port"),
    ]
    assert [place.host for place in both_ports(settings())] == ["127.0.0.1"] * 2


def test_two_faces_need_two_ports() -> None:
    """The port decides which face a connection is for."""
    with pytest.raises(ConfigurationError, match="--port and --public-port"):
        both_ports(settings(), public_port=1, public_host="10.0.0.5")


def test_links_must_lead_to_the_public_port() -> None:
    """Below MAILROOM_API_URL they would all answer 404, in mails that are sent already."""
    signing = settings().model_copy(update={"unsubscribe_key": SecretStr("a key of some length")})

    with pytest.raises(ConfigurationError, match="MAILROOM_PUBLIC_URL"):
        both_ports(signing)

    assert len(both_ports(signing.model_copy(update={"public_url": "https://mail.example"}))) == 2


def test_a_port_in_use_is_said_with_what_to_do() -> None:
    """On the loopback names too; also where the other program started at the same moment."""
    place = ListenAddress(Face.PUBLIC, "127.0.0.1", free_port(), "--public-port")
    first, second = bind(place), bind(place)

    listen(place, first)
    with pytest.raises(ConfigurationError, match=rf"port {place.port} on 127.0.0.1 is in use.*--public-port"):
        listen(place, second)
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(ConfigurationError, match="is in use"):
            bind(replace(place, host=host))

    for one in (*first, *second):
        one.close()


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("192.0.2.7", "not an address of this machine"),
        ("nowhere.invalid", "not an IP address, and the name cannot"),
        ("a" * 300, "not an IP address"),
    ],
)
def test_a_host_that_is_not_ours_is_said(host: str, said: str) -> None:
    """One clear line instead of a traceback for an address of another machine."""
    with pytest.raises(ConfigurationError, match=said):
        bind(ListenAddress(Face.BOTH, host, free_port()))


def test_localhost_is_every_loopback_address_that_it_names() -> None:
    """As before: a browser may try either."""
    sockets = bind(ListenAddress(Face.BOTH, "localhost", free_port()))

    assert all(is_loopback(one.getsockname()[0]) for one in sockets)
    assert socket.AF_INET in {one.family for one in sockets}
    for one in sockets:
        one.close()
