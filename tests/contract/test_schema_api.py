"""The HTTP service while the schema does not fit: it answers 503, does nothing partially, and recovers by itself."""

import json
import threading
import time
from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy import Engine

from mailroom.adapters.postgres import gate
from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.errors import UnfitSchema
from mailroom.operations import loops
from mailroom.outbound.outbox_relay import run_relay
from mailroom.testing.queue import MemoryQueue
from tests.contract.test_every_route import World
from tests.support.batch_requests import ACME, batch
from tests.support.tampering import owner_of

AWAY = {
    "missing": ("alter schema public rename to away", "alter schema away rename to public"),
    "no longer serves": ("update schema_serves set oldest_code = 99", "update schema_serves set oldest_code = 1"),
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the gate look again soon."""
    monkeypatch.setattr(gate, "_FIT_FOR_S", 0.05)
    monkeypatch.setattr(gate, "_UNFIT_FOR_S", 0.05)


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine)


def execute(url: str, statement: str) -> None:
    with psycopg.connect(owner_of(url), autocommit=True) as connection:
        connection.execute(statement)
    time.sleep(0.1)


@pytest.mark.parametrize("how", AWAY)
def test_every_route_that_needs_the_database_answers_503_with_what_to_do(
    world: World, database_url: str, how: str
) -> None:
    """500 is for unexpected errors; a caller that gets 503 tries again and loses nothing."""
    gets = [path for method, path in world.routes() if method == "GET"]
    before = {path: world.ask("GET", path, world.ids, ACME).status_code for path in gets}
    execute(database_url, AWAY[how][0])
    answers = {path: world.ask("GET", path, world.ids, ACME) for path in gets}
    others = [(method, path) for method, path in world.routes() if method != "GET"]
    changes = {world.ask(method, path, world.ids, ACME).status_code for method, path in others}
    sent = world.client.post("/v1/batches", json=batch(), headers=ACME | {"Idempotency-Key": "while-away"})
    execute(database_url, AWAY[how][1])

    away = {path: answer.status_code for path, answer in answers.items()}
    # The other checks use doubles without a database.
    assert sum(status == 503 for status in away.values()) > 15
    assert {path for path, status in away.items() if status not in (503, before[path])} == set()
    assert changes <= {503, 400, 403, 404, 422}
    assert sent.status_code == 503
    assert sent.headers["content-type"] == "application/problem+json"
    assert sent.headers["retry-after"]
    assert "`mailroom migrate" in sent.json()["detail"]
    assert {path: world.ask("GET", path, world.ids, ACME).status_code for path in gets} == before


@pytest.mark.parametrize("how", AWAY)
def test_readyz_says_what_to_do_and_is_ready_again_by_itself(world: World, database_url: str, how: str) -> None:
    """A load balancer takes the service out, and its operator reads why."""
    ready = world.client.get("/readyz").status_code
    execute(database_url, AWAY[how][0])
    unready, alive = world.client.get("/readyz"), world.client.get("/healthz")
    execute(database_url, AWAY[how][1])

    assert (ready, unready.status_code, alive.status_code) == (200, 503, 200)
    assert "`mailroom migrate" in unready.json()["checks"]["database"]
    assert world.client.get("/readyz").json()["status"] == "ok"


def test_the_relay_waits_and_continues(world: World, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its orders stay in the outbox."""
    monkeypatch.setattr(loops, "OUTAGE_S", 0.05)
    execute(database_url, AWAY["no longer serves"][0])
    queue, stop, engine = MemoryQueue(visibility_s=60), threading.Event(), make_engine(database_url)
    relay = threading.Thread(target=run_relay, args=(SqlOutbox(engine), queue, stop))
    relay.start()
    try:
        time.sleep(0.5)
        waited = len(queue)
        with pytest.raises(UnfitSchema):
            SqlOutbox(engine).take(most=1, now=datetime.now(UTC), until=datetime.now(UTC))
        execute(database_url, AWAY["no longer serves"][1])
        deadline = time.monotonic() + 10
        while not len(queue) and time.monotonic() < deadline:
            time.sleep(0.05)
        [order] = queue.receive(most=10, wait_s=0)
    finally:
        stop.set()
        relay.join()
        engine.dispose()

    assert waited == 0
    assert json.loads(order.body)["batch_id"] == world.ids["batch_id"]
