"""One rule of webhook targets at registration and at each POST: names that change their address, ports no longer allowed."""

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from mailroom.adapters.http import HttpWebhooks
from mailroom.api.app import create_app
from mailroom.cli import tenant, webhooks
from mailroom.domain.delivery.events import Kind
from mailroom.domain.delivery.webhook_targets import WebhookTargets
from mailroom.domain.errors import ConfigurationError, Refused
from mailroom.settings import Settings
from mailroom.testing.api import Memory, TestClient
from tests.support.batch_requests import ACME, HOLDERS
from tests.support.tenant_endpoints import Desk, Receiver

ELSEWHERE = "https://acme.test:8443/hook"
INSIDE = [
    "https://127.0.0.1/",
    "https://169.254.169.254/",
    "https://[::ffff:a00:1]/",
    "https://127.1/",
    "https://localhost/",
    ELSEWHERE,
]


class Answering(BaseHTTPRequestHandler):
    """An endpoint on loopback that accepts every POST."""

    posts: list[str]

    def do_POST(self) -> None:
        self.posts.append(self.headers["Host"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def answering() -> Iterator[Any]:
    kind = type("Endpoint", (Answering,), {"posts": []})
    server = HTTPServer(("127.0.0.1", 0), kind)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    kind.port = server.server_port  # type: ignore[attr-defined]
    yield kind
    server.shutdown()
    server.server_close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """Host names of this test: each lookup returns the next list of addresses, and the last one stays."""
    ask, known = socket.getaddrinfo, dict[str, list[list[str]]]()

    def answer(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host not in known:
            return ask(host, port, *rest, **more)
        addresses = known[host].pop(0) if len(known[host]) > 1 else known[host][0]
        return [one for address in addresses for one in ask(address, port, *rest, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return known


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses to which a connection is begun; none leaves this machine."""
    connect, dialled = socket.create_connection, list[str]()

    def begin(address: tuple[str, int], *rest: Any, **more: Any) -> socket.socket:
        dialled.append(address[0])
        if not address[0].startswith("127."):
            raise OSError("no network in this test")
        return connect(address, *rest, **more)

    monkeypatch.setattr(socket, "create_connection", begin)
    return dialled


def test_the_address_that_was_checked_is_the_one_connected_to(
    names: dict[str, list[list[str]]], dialled: list[str], answering: Any
) -> None:
    """A name that changes its address (DNS rebinding) is looked up once; the server still sees its name."""
    names["hook.acme.test"] = [["127.0.0.1"], ["127.0.0.2"]]

    status = HttpWebhooks(WebhookTargets(anywhere=True)).post(f"http://hook.acme.test:{answering.port}/", b"{}", {})

    assert (status, dialled) == (204, ["127.0.0.1"])
    assert answering.posts == [f"hook.acme.test:{answering.port}"]
    assert names["hook.acme.test"] == [["127.0.0.2"]]


def test_a_public_address_is_dialled_as_it_was_found(names: dict[str, list[list[str]]], dialled: list[str]) -> None:
    """The same with private addresses refused: the second answer, a private one, is never requested within one POST."""
    names["hook.acme.test"] = [["8.8.8.8"], ["10.0.0.1"]]
    webhooks = HttpWebhooks()

    with pytest.raises(Exception, match="cannot be reached"):
        webhooks.post("https://hook.acme.test/", b"{}", {})
    with pytest.raises(Refused, match="private_address"):
        webhooks.post("https://hook.acme.test/", b"{}", {})

    assert dialled == ["8.8.8.8"]


@pytest.mark.parametrize(
    "addresses",
    [["10.0.0.1"], ["8.8.8.8", "169.254.169.254"], ["169.254.169.254", "8.8.8.8"], ["2a00::1", "::1"], ["8.8.8.8", "fe80::1%lo"], ["::ffff:8.8.8.8"],
     ["64:ff9b::808:808"], ["192.0.0.10"], ["168.63.129.16"]],
)  # fmt: skip
def test_a_name_with_an_address_inside_is_not_connected_to(
    addresses: list[str], names: dict[str, list[list[str]]], dialled: list[str]
) -> None:
    """All of its addresses count, because the system may choose any."""
    names["hook.acme.test"] = [addresses]

    with pytest.raises(Refused) as caught:
        HttpWebhooks().post("https://hook.acme.test/", b"{}", {})

    assert (caught.value.facts["step"], dialled) == ("private_address", [])


def api_of(engine: Engine, **changes: Any) -> TestClient:
    """The service as an administrator has set it up."""
    memory, desk = Memory(), Desk(engine)
    memory.keys.holders.update(HOLDERS)
    services = memory.services()
    changed = replace(services, endpoints=desk.endpoints, settings=services.settings.model_copy(update=changes))
    return TestClient(create_app(changed), base_url="http://127.0.0.1:8025", headers=ACME)


@pytest.mark.parametrize("url", INSIDE)
def test_registration_goes_by_the_same_rule(url: str, engine: Engine) -> None:
    """The customer sees it at once, in a sentence, and not in a log of failed attempts; a laptop may."""
    refused = api_of(engine).post("/v1/webhooks", json={"url": url})

    assert refused.status_code == 422
    assert "address" in refused.json()["detail"] or "MAILROOM_WEBHOOK_PORTS" in refused.json()["detail"]
    assert api_of(engine, private_webhooks=True).post("/v1/webhooks", json={"url": url}).status_code == 201


def installed(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, field in Settings.model_fields.items():
        if field.is_required():
            monkeypatch.setenv(f"MAILROOM_{name.upper()}", "nowhere")
    monkeypatch.setenv("MAILROOM_DATABASE_URL", database_url)


@pytest.mark.parametrize("url", INSIDE)
@pytest.mark.parametrize(
    "words", [(webhooks.app, "add", "acme"), (tenant.app, "webhook", "acme")], ids=["webhooks add", "tenant webhook"]
)
def test_commands_go_by_the_same_rule(
    words: tuple[Any, ...], url: str, database_url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An administrator's slip is refused like a tenant's attack; the setting is the way to allow more."""
    installed(database_url, monkeypatch)

    with pytest.raises(ConfigurationError, match=r"the (host|port) must be"):
        CliRunner().invoke(words[0], [*words[1:], url], catch_exceptions=False)

    monkeypatch.setenv("MAILROOM_WEBHOOK_PORTS", "443,8443")
    allowed = CliRunner().invoke(words[0], [*words[1:], ELSEWHERE, "--json"], catch_exceptions=False)
    assert json.loads(allowed.stdout)["url"] == ELSEWHERE


def test_endpoint_whose_port_was_taken_back_waits_and_says_why(
    database_url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Endpoints from before this rule: nothing is lost, page, API and commands say what to do, then they are sent."""
    desk, allowing = Desk(engine), api_of(engine, webhook_ports="443 8443")
    added = allowing.post("/v1/webhooks", json={"url": ELSEWHERE}).json()
    desk.report(desk.send()[0], Kind.DELIVERED)
    api, id_ = api_of(engine), added["id"]

    desk.notify(HttpWebhooks())  # type: ignore[arg-type]

    shown = api.get(f"/v1/webhooks/{id_}").json()
    assert (added["fault"], shown["waiting"], shown["disabled_at"]) == (None, 1, None)
    assert "MAILROOM_WEBHOOK_PORTS" in shown["fault"]
    assert [one["fault"] for one in api.get(f"/v1/webhooks/{id_}/attempts").json()["items"]] == ["port_not_allowed"]
    for path in ("/webhooks", f"/webhooks/{id_}"):
        page = api.get(path, headers={"Accept": "text/html"})
        assert (page.status_code, "refused" in page.text, "refused" in allowing.get(path).text) == (200, True, False)
    installed(database_url, monkeypatch)
    listed = CliRunner().invoke(webhooks.app, ["list"], catch_exceptions=False).stdout
    logged = CliRunner().invoke(webhooks.app, ["log", id_], catch_exceptions=False).stdout
    assert "refused: port_not_allowed" in listed
    assert "an administrator can allow others with MAILROOM_WEBHOOK_PORTS" in listed
    assert "an administrator can allow others with MAILROOM_WEBHOOK_PORTS" in logged

    desk.now += timedelta(hours=2)
    receiver = Receiver()
    desk.notify(receiver)

    assert receiver.received == [["message.delivered"]]
    assert allowing.get(f"/v1/webhooks/{id_}").json()["waiting"] == 0


@pytest.mark.parametrize(
    "build", [lambda: HttpWebhooks(), lambda: HttpWebhooks(WebhookTargets.read("443", anywhere=False))]
)
def test_another_port_is_not_connected_to(build: Callable[[], HttpWebhooks], dialled: list[str]) -> None:
    """Open ports show what runs on an address, also a public one; only ports that an administrator names are tried."""
    with pytest.raises(Refused) as caught:
        build().post("https://8.8.8.8:6443/", b"{}", {})

    assert (caught.value.facts["step"], dialled) == ("port_not_allowed", [])
