"""The HTTP service while tenants submit expensive batches: a real process, a real database, real connections."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from mailroom.api.auth import key_digest
from mailroom.sandbox.stack.aws import Names, provision
from mailroom.settings import Settings
from tests.support.loopback_ports import free_port

CROWD = 45
#: What took 44 s of processor time for five recipients: texts that differ at their end, compared and searched for free.
COMPARING = "{% for a in many %}{% for b in many %}{% if (x == y) or (y in x) or (rows == others) %}{% endif %}{% endfor %}{% endfor %}"
#: Each mail is within its own limits; the request is limited by the sum over its recipients.
NEAR_THE_BOUND = "{% for a in many %}{{ rows|urlencode }}{% endfor %}"


def hostile(text: str, recipients: int) -> dict[str, Any]:
    rows = [{"name": "a" * 40, "price": n} for n in range(30)]
    data = {"many": list(range(300)), "x": "a" * 1_500 + "b", "y": "a" * 1_500 + "c"}
    data |= {"rows": rows, "others": [*rows[:-1], {}]}
    people = [{"to": f"p{n}@users.test", "data": data} for n in range(recipients)]
    return {"from": "desk@acme.test", "template": {"subject": "s", "text": text}, "recipients": people}


@pytest.fixture(scope="module")
def stack(aws: str) -> dict[str, str]:
    return provision(Names(stem="crowdedtest"))


@dataclass(frozen=True)
class Service:
    """The HTTP service as a separate process."""

    process: subprocess.Popen[bytes]
    url: str

    def client(self, tenant: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {tenant}-key"}, timeout=120)


@pytest.fixture
def service(stack: dict[str, str], engine: Engine, database_url: str) -> Iterator[Service]:
    with engine.begin() as connection:
        for tenant in ("acme", "umbrella"):
            connection.execute(
                text("insert into tenant (id, policy, created_at) values (:t, '{}', now())"), {"t": tenant}
            )
            key = {"sha256": key_digest(f"{tenant}-key"), "t": tenant}
            connection.execute(
                text("insert into api_key (sha256, name, tenant, created_at) values (:sha256, :t, :t, now())"), key
            )
    nowhere = dict.fromkeys(("prefect_api_url", "prefect_url", "api_url"), "http://127.0.0.1:9")
    settings, port = Settings(**(nowhere | stack | {"database_url": database_url})), free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "mailroom.api.serve", "--port", str(port)],
        env=os.environ | settings.environment(),
        stderr=subprocess.DEVNULL,
    )
    try:
        while not answers(f"http://127.0.0.1:{port}/healthz"):
            assert process.poll() is None, "the service did not start"
            time.sleep(0.1)
        yield Service(process, f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def seconds(call: Callable[[], httpx.Response]) -> float:
    began = time.perf_counter()
    answer = call()
    assert answer.is_success, answer.text
    return time.perf_counter() - began


def test_batches_that_keep_a_processor_busy_do_not_keep_others_waiting(service: Service) -> None:
    """45 of one tenant at once: another tenant can still read its messages and submit a batch."""
    asked = [hostile(COMPARING, 5) if n % 3 else hostile(NEAR_THE_BOUND, 1_000) for n in range(CROWD)]
    statuses, mail = Counter[int](), {"to": "ada@users.test", "subject": "s", "text": "t"}
    batch = {"from": "desk@umbrella.test", "messages": [mail]}

    def submit(one: dict[str, Any]) -> None:
        with service.client("acme") as client, suppress(httpx.TransportError):
            while True:
                statuses[client.post("/v1/batches", json=one).status_code] += 1

    with ThreadPoolExecutor(CROWD) as crowd, service.client("umbrella") as other:
        # Alone, as this machine is now: tenths of it on a free one.
        alone = [seconds(lambda: other.get("/v1/messages")) for _ in range(20)]
        slow = max(1.0, max(alone) / 0.1)
        for one in asked:
            crowd.submit(submit, one)
        time.sleep(2)
        reading, submitting = [], []
        for n in range(40):
            time.sleep(0.1)
            reading.append(seconds(lambda: other.get("/v1/messages")))
            if n % 10 == 0:
                submitting.append(seconds(lambda: other.post("/v1/batches", json=batch)))
        service.process.kill()
    p95 = quantiles(reading, n=20)[-1]

    print(
        f"\nreading: p95 {p95:.3f} s, longest {max(reading):.3f} s; submitting {max(submitting):.3f} s; {dict(statuses)}"
    )
    assert p95 < 1.0 * slow
    assert max(submitting) < 2.0 * slow
