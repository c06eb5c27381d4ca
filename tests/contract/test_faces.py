"""The HTTP process with a port for each face: its routes, the shutdown of both, and what prevents the start."""

import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mailroom.api.app import create_app
from mailroom.api.faces import Face
from mailroom.sandbox.stack.aws import Names, provision
from mailroom.sandbox.stack.postgres import Postgres
from mailroom.settings import Settings
from mailroom.testing.api import Memory
from tests.support.api_routes import filled, routes_of
from tests.support.batch_requests import batch
from tests.support.loopback_ports import free_port

KEY = {"Authorization": "Bearer admin-key"}
SIGNED_IN = httpx.BasicAuth("anybody", "admin-key")


@dataclass
class Running:
    """The process, its environment and its two ports."""

    process: subprocess.Popen[str]
    environment: dict[str, str]
    private: int
    public: int

    def ask(self, port: int, method: str, path: str, **asked: Any) -> httpx.Response:
        return httpx.request(method, f"http://127.0.0.1:{port}{path}", trust_env=False, timeout=30, **asked)


def started(environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mailroom.api.serve", *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(environment: dict[str, str], *words: str) -> tuple[int, str]:
    """Return the exit code and last line of a process that does not start."""
    with started(environment, *words) as process:
        _, said = process.communicate(timeout=150)
    assert "Traceback" not in said
    return process.returncode, said.strip().splitlines()[-1]


def wait_for(port: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200:
                return
        time.sleep(0.1)
    process.kill()
    raise AssertionError(process.communicate()[1])


@pytest.fixture(scope="module")
def environment(aws: str, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an installation with an administrator's key and a webhook."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("create database faces template mailroom")
    with psycopg.connect(postgres.url("faces"), autocommit=True) as connection:
        digest = hashlib.sha256(b"admin-key").hexdigest()
        connection.execute("insert into api_key (sha256, name, created_at) values (%s, 'root', now())", (digest,))
    elsewhere = {
        "database_url": postgres.url("faces"),
        "prefect_api_url": "http://127.0.0.1:9/api",
        "prefect_url": "http://127.0.0.1:9",
        "api_url": "http://127.0.0.1:9",
        "unsubscribe_key": "a key of some length",
        "public_url": "https://mail.example",
        "postmark_hook_users": "user:word",
    }
    installation = Settings(**(provision(Names(stem="facestest")) | elsewhere))
    return {**os.environ, **installation.environment(), "MAILROOM_DATA": str(tmp_path_factory.mktemp("none"))}


@pytest.fixture(scope="module")
def running(environment: dict[str, str]) -> Iterator[Running]:
    private, public = free_port(), free_port()
    settings = environment | {"MAILROOM_PUBLIC_PORT": str(public)}
    with started(settings, "--port", str(private)) as process:
        wait_for(private, process)
        yield Running(process, settings, private, public)
        process.kill()


def test_each_port_shows_its_own_face(running: Running) -> None:
    """Every route is requested on both ports, without a key: it is on one of them, or on neither."""
    services = Memory().services()
    faces = {port: set(routes_of(create_app(services, face))) for port, face in
             ((running.private, Face.PRIVATE), (running.public, Face.PUBLIC))}  # fmt: skip

    for method, path in sorted(routes_of(create_app(services))):
        for port, shown in faces.items():
            answer = running.ask(port, method, filled(path))
            is_json = answer.headers["content-type"].startswith("application/problem+json")
            absent = answer.status_code == 404 and (
                method == "HEAD" or (is_json and answer.json()["detail"] == "Not Found")
            )
            assert method == "HEAD" or absent == ((method, path) not in shown), (port, method, path, answer.text)
    assert running.ask(running.public, "GET", "/openapi.json").status_code == 404
    assert running.ask(running.private, "GET", "/openapi.json").status_code == 200
    assert [running.ask(port, "GET", "/healthz").json() for port in faces] == [{"status": "ok"}] * 2


@pytest.mark.parametrize(
    "target",
    [
        "//metrics", "/%6detrics", "/metrics/", "/u/../metrics", "/u/%2e%2e/metrics", "/static/../metrics", "/METRICS",
        "/static/%2e%2e/%2e%2e/app.py", "/metrics?x=/u/1", "/metrics;/u/1", "/v1/messages", "/%76%31/messages", "/",
        "/u/..%2fv1/messages", "http://127.0.0.1:PRIVATE/metrics", "/hooks/../metrics", "/openapi.json", "/\\metrics",
    ],
)  # fmt: skip
def test_no_spelling_of_a_path_reaches_the_other_face(running: Running, target: str) -> None:
    """No filter compares paths, so no spelling of a path passes one; a caller's Host and port are not used either."""
    connection = http.client.HTTPConnection("127.0.0.1", running.public, timeout=30)
    lies = {"X-Forwarded-Port": str(running.private), "X-Original-URL": "/metrics", "X-Rewrite-URL": "/metrics"}
    connection.request(
        "GET",
        target.replace("PRIVATE", str(running.private)),
        headers={"Host": f"127.0.0.1:{running.private}", **lies, **KEY},
    )
    answer = connection.getresponse()

    assert answer.status in (400, 404)
    assert b"mailroom_" not in answer.read()
    connection.close()


class TlsProxy:
    """TLS on one side, plain http on the other, and nothing changed in between."""

    def __init__(self, folder: Path, to: int) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")]), datetime.now(UTC)
        made = x509.CertificateBuilder(
            name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1)
        )
        made = made.add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        self.certificate, pem = folder / "server.pem", serialization.Encoding.PEM
        own = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.certificate.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(pem) + own)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        self._to, self._listening = to, context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        self.url = f"https://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                outer, _ = self._listening.accept()
                inner = socket.create_connection(("127.0.0.1", self._to))
                for source, sink in ((outer, inner), (inner, outer)):
                    threading.Thread(target=_pump, args=(source, sink), daemon=True).start()

    def close(self) -> None:
        self._listening.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)


def test_pages_are_signed_in_to_and_their_buttons_work_behind_a_tls_proxy(running: Running, tmp_path: Path) -> None:
    """The service sees plain http and trusts no header of a proxy; browsers themselves say that a button was ours."""
    asked = {"url": "https://acme.test/hook"}
    added = running.ask(running.private, "POST", "/v1/webhooks?tenant=acme", headers=KEY, json=asked)
    page = f"/webhooks/{added.json()['id']}"
    proxy = TlsProxy(tmp_path, running.private)
    trusted = ssl.create_default_context(cafile=str(proxy.certificate))

    with httpx.Client(base_url=proxy.url, verify=trusted, trust_env=False, timeout=30) as browser:
        stranger = browser.get("/webhooks")
        shown = browser.get(page, auth=SIGNED_IN)
        own, foreign = (
            browser.post(f"{page}/enable", auth=SIGNED_IN, headers={"Sec-Fetch-Site": site, "Origin": proxy.url})
            for site in ("same-origin", "cross-site")
        )
    proxy.close()

    assert (stranger.status_code, "Basic" in stranger.headers["www-authenticate"]) == (401, True)
    assert (shown.status_code, f'action="{page}' in shown.text) == (200, True)
    assert (own.status_code, own.headers["location"], foreign.status_code) == (303, page, 403)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "PRIVATE"], "is in use: stop the process that listens there, or choose another with --port"),
        (["--port", "FREE"], "is in use: stop the process that listens there, or choose another with --public-port"),
        (["--port", "FREE", "--public-port", "0", "--host", "0.0.0.0"], "MAILROOM_BEHIND_TLS_PROXY=true"),
        (["--port", "FREE", "--host", "192.0.2.7", "--behind-tls-proxy"], "192.0.2.7 is not an address of this machine"),
        (["--port", "70000"], "'70000' is no port; ports are 1 to 65535"),
    ],
)  # fmt: skip
def test_what_keeps_it_from_starting_is_one_line(running: Running, words: list[str], said: str) -> None:
    """Exit code 2, as for every setting that a person has to change."""
    real = {"PRIVATE": str(running.private), "FREE": str(free_port())}

    code, line = ended(running.environment, *(real.get(word, word) for word in words))

    assert code == 2
    assert said in line


def test_off_loopback_it_serves_once_it_knows_of_the_tls_proxy(environment: dict[str, str]) -> None:
    """Configured by the environment, as in a container; any address of this machine is off loopback."""
    port = free_port()
    with started(
        environment | {"MAILROOM_BEHIND_TLS_PROXY": "true"}, "--host", "0.0.0.0", "--port", str(port)
    ) as process:
        wait_for(port, process)
        process.kill()


def _half(port: int, path: str, body: bytes, headers: dict[str, str]) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest("POST", path)
    for name, value in (headers | {"Content-Length": str(len(body)), "Content-Type": "application/json"}).items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(body[: len(body) // 2])
    return connection


def test_both_ports_finish_what_they_have_begun(environment: dict[str, str]) -> None:
    """SIGTERM of a deployment: no new connections on either port, and running requests are answered."""
    private, public = free_port(), free_port()
    with started(environment, "--port", str(private), "--public-port", str(public)) as process:
        wait_for(private, process)
        bodies = (json.dumps(batch()).encode(), b"[1, 2]")
        hook = {"Authorization": httpx.BasicAuth("user", "word")._auth_header}
        calls = [
            _half(private, "/v1/batches?dry_run=true", bodies[0], KEY),
            _half(public, "/hooks/postmark", bodies[1], hook),
        ]
        time.sleep(0.3)

        process.send_signal(signal.SIGTERM)
        time.sleep(1)
        refused = []
        for port in (private, public):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
                refused.append(port)
        for call, body in zip(calls, bodies, strict=True):
            call.send(body[len(body) // 2 :])
        answers = [call.getresponse().status for call in calls]
        _, said = process.communicate(timeout=60)

    assert refused == []
    # The hook's body is no event of Postmark's: it was read to its end and judged.
    assert answers == [200, 422]
    assert process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in said
