"""Memory of the HTTP service for a large batch: the process itself, on PostgreSQL, by its peak.

The peak is the kernel's own (`VmHWM`), so nothing between two looks is missed.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from mailroom.api.auth import key_digest
from mailroom.domain.outbound.message import LIMITS
from mailroom.testing.api import settings
from tests.support.loopback_ports import free_port

MB = 1_000_000
#: What the service may hold above its idle memory for one request.
MOST = 150 * MB
KEY = {"Authorization": "Bearer memory"}


@dataclass
class Service:
    """A running `mailroom api`."""

    url: str
    pid: int

    def idle(self) -> int:
        """Return the bytes in use now, and reset the peak."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        return self._bytes("VmRSS")

    def peak(self) -> int:
        """Return the peak since `idle`, in bytes."""
        return self._bytes("VmHWM")

    def _bytes(self, name: str) -> int:
        found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found
        return int(found[1]) * 1024

    def post(self, body: bytes, query: str = "") -> httpx.Response:
        return httpx.post(f"{self.url}/v1/batches{query}", content=body, headers=KEY, timeout=600)


@contextmanager
def running(database_url: str) -> Iterator[Service]:
    """Yield the service, warm: small requests of each kind have been answered."""
    port = free_port()
    values = settings().model_dump(mode="json") | {
        "database_url": database_url,
        "sender": "a@acme.test",
        "inbound_topic_arn": "arn:aws:sns:eu-west-1:123456789012:in",
        "kms_key_arn": "arn:aws:kms:eu-west-1:123456789012:key/x",
    }
    environment = {f"MAILROOM_{name.upper()}": str(value) for name, value in values.items() if value not in (None, "")}
    environment |= {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    command = [sys.executable, "-m", "mailroom.api.serve", "--port", str(port)]
    with subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.DEVNULL) as process:
        service = Service(f"http://127.0.0.1:{port}", process.pid)
        try:
            _wait(service, process)
            for body in (template(50), messages(50)):
                assert service.post(body).status_code == 202
                assert service.post(body, "?dry_run=true").status_code == 200
            yield service
        finally:
            process.terminate()
            process.wait(20)


def _wait(service: Service, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(300):
        assert process.poll() is None, "the service did not start"
        try:
            if httpx.get(f"{service.url}/healthz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the service does not answer")


@pytest.fixture
def service(database_url: str) -> Iterator[Service]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "insert into api_key (sha256, name, created_at) values (%s, 'memory', now())", [key_digest("memory")]
        )
    with running(database_url) as service:
        yield service


def template(count: int, fill: int = 0, **changes: Any) -> bytes:
    words = {"subject": "Invoice {{ n }}", "text": "Dear {{ name }}, {{ n }}", "html": "<p>Dear {{ name }}</p>"}
    people = [
        {"to": f"Customer {n} <customer{n}@example.com>", "data": {"n": n, "name": f"N{n}", "more": _filling(n, fill)}}
        for n in range(count)
    ]
    return json.dumps({"template": words, "recipients": people, **changes}).encode()


def messages(count: int, fill: int = 0, **changes: Any) -> bytes:
    mails = [
        {"to": f"customer{n}@example.com", "subject": f"Invoice {n}", "text": f"Dear customer {n} {_filling(n, fill)}"}
        for n in range(count)
    ]
    return json.dumps({"messages": mails, **changes}).encode()


def _filling(number: int, length: int) -> str:
    # No two alike, so that they do not compress to nothing.
    return (f"{number * 7_919:x} " * (length // 5 + 1))[:length]


def full(make: Any, count: int) -> bytes:
    """Return a body of nearly 40 MiB."""
    fill = (LIMITS.body - len(make(count))) // count - 4
    body: bytes = make(count, fill)
    assert LIMITS.body - count * 20 < len(body) <= LIMITS.body
    return body


def bad(count: int) -> bytes:
    return json.dumps(
        {"messages": [{"to": f"no address {n}", "subject": "a", "text": "b"} for n in range(count)]}
    ).encode()


def misshapen(count: int) -> bytes:
    return json.dumps({"messages": [{"to": f"a{n}@b.test", "subject": n, "x": 1} for n in range(count)]}).encode()


SMALL, LARGE = 10_000, 100_000
FORMS = {
    "template": (template, "", 202),
    "messages": (messages, "", 202),
    "template, 40 MiB": (lambda count: full(template, count), "", 202),
    "messages, 40 MiB": (lambda count: full(messages, count), "", 202),
    "dry run": (template, "?dry_run=true", 200),
    "all double": (
        lambda count: json.dumps({"messages": [{"to": "a@b.test", "subject": "a", "text": "b"}] * count}).encode(),
        "",
        202,
    ),
    "no addresses": (bad, "", 422),
    "no shape": (misshapen, "", 422),
}


@pytest.mark.parametrize("form", ["template", "messages, 40 MiB"])
def test_a_large_batch_costs_little_memory(service: Service, form: str) -> None:
    """A tenth of the largest; without care its objects take ten times the bytes of the request."""
    make, query, status = FORMS[form]
    body = make(SMALL)

    idle = service.idle()
    answer = service.post(body, query)

    assert answer.status_code == status, answer.text[:500]
    assert service.peak() - idle < MOST


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("form", FORMS)
def test_100_000_messages_cost_at_most_150_mb(service: Service, form: str, record_property: Any) -> None:
    """The largest possible batches, each form twice: what was held once must not be held again beside it."""
    make, query, status = FORMS[form]
    body = make(LARGE)
    idle = service.idle()

    for _ in range(2):
        began = time.monotonic()
        answer = service.post(body, query)
        assert answer.status_code == status, answer.text[:500]
        print(
            f"\n{form}: {len(body) / MB:.0f} MB, {time.monotonic() - began:.0f} s, "
            f"idle {idle / MB:.0f} MB, peak +{(service.peak() - idle) / MB:.0f} MB"
        )

    assert service.peak() - idle < MOST


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_one_batch_after_another_costs_no_more(service: Service) -> None:
    """A process that grew with each would be killed by the kernel after some days."""
    body = full(template, 20_000)
    assert service.post(body).status_code == 202
    first = service.idle()
    for _ in range(10):
        assert service.post(body).status_code == 202

    assert service.idle() - first < 30 * MB
