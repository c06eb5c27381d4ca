"""What design 3 promises of the worker: workers are killed, stopped, disconnected and given poisonous mails."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from deployments.worker.queue_listener import Timing
from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.ports.ledger import Lease
from tests.support.patience import PATIENCE_S
from tests.support.running_stack import (
    Stack,
    archive_serves_again,
    spoil_archive,
    store_as_ses,
    unannounced,
    wait_until,
)
from tests.support.stack_workers import BEAT_S, TO, Line, Worker
from tests.support.tcp_proxy import Proxy

#: A receive that began before the pause ends within the listener's long poll, on a slow machine after as long as a worker takes
#: to start there; a message is hidden for four heartbeats.
LONG_POLL_S, HIDDEN_S = Timing().long_poll_s, 4 * BEAT_S


@pytest.fixture(scope="module")
def place(stack: Stack) -> Stack:
    """The stack, with an address that receives."""
    stack.receives(TO, tenant="acme")
    return stack


@pytest.fixture
def line(place: Stack) -> Line:
    """A queue of this test's own."""
    return Line(place)


@pytest.fixture
def ledger(stack: Stack) -> Iterator[SqlLedger]:
    """The stack's ledger, for rows that a dead worker left."""
    engine = make_engine(stack["database_url"])
    yield SqlLedger(engine)
    engine.dispose()


def test_a_slow_mail_is_run_once_and_taken_over_when_its_worker_is_killed(line: Line) -> None:
    """Work longer than the visibility timeout keeps its message, and a living worker keeps its mail. After kill -9 the
    same run goes on elsewhere: nothing else would ever end it."""
    with line.worker(faulty=True) as first:
        slow = line.send(f"slow {7 * BEAT_S}")
        line.begun(slow)
        line.announce(slow)
        line.ended(slow)
        assert line.state(slow)["attempts"] == 1

        endless = line.send("hold")
        line.begun(endless)
        held = partial(is_leased, line.stack, endless)
        wait_until(held, "the roster names it, and who has it")
        first.signal(signal.SIGKILL)
    with line.worker():
        line.ended(endless)

        standing = line.state(endless)
        wait_until(lambda: line.run(endless)["state_type"] == "COMPLETED", "its run is completed")
        assert (standing["attempts"], standing["deaths"]) == (2, 1)
        assert line.run(endless)["run_count"] == 2
        assert line.items(endless) == 1


def test_a_worker_that_was_only_thought_dead_cannot_file_over_the_new_holder(line: Line) -> None:
    """R9: heartbeats stop while the work goes on. The attempt that lost its lease changes nothing."""
    with line.worker(faulty=True) as sleeper:
        mail = line.send("hold")
        line.begun(mail)
        sleeper.signal(signal.SIGSTOP)
        with line.worker() as other:
            line.ended(mail)
            wait_until(lambda: line.run(mail)["state_type"] == "COMPLETED", "its run is completed")
            assert other.stops_within(10)
        filed_at = line.state(mail)["closed_at"]
        line.release()
        sleeper.signal(signal.SIGCONT)
        wait_until(partial(sleeper.says, "was not allowed to continue"), "the sleeper gives way")

        assert line.state(mail)["closed_at"] == filed_at
        assert line.state(mail)["attempts"] == 2
        assert line.items(mail) == 1
        assert line.run(mail)["state_type"] == "COMPLETED"
        line.ended(line.send("the sleeper works on"))
        hung = line.send("slow 600")
        line.begun(hung)
        assert sleeper.stops_within(10), "a step that hangs must not keep it"
    with line.worker():
        line.ended(hung)
        assert line.items(hung) == 1


def test_a_poisonous_mail_is_isolated_and_then_quarantined_while_its_neighbours_go_on(line: Line) -> None:
    """R12: it kills the worker once, then two children of the next one. More neighbours than the worker has slots are
    filed by one warm run each while the first child still has the poison: none waits for the isolated lane."""
    with line.worker(faulty=True) as victim:
        poison = line.send("kill")
        wait_until(victim.died, "the worker died of it")
    with line.worker(faulty=True, MAILROOM_LOG="json") as worker:
        wait_until(lambda: line.state(poison)["attempts"] == 2, "the poison works alone")
        neighbours = [line.send("a neighbour") for _ in range(12)]
        line.ended(*neighbours)
        assert line.state(poison)["state"] == "processing"
        assert line.state(poison)["attempts"] == 2
        line.release()
        line.ended(poison, state="quarantined")

        standing = line.state(poison)
        wait_until(lambda: line.run(poison)["state_type"] == "FAILED", "its run tells so")
        assert not worker.died()
        assert (standing["reason"], standing["deaths"], standing["attempts"]) == ("poison", 3, 3)
        assert line.run(poison)["state"]["message"] == "quarantined: poison"
        assert line.items(poison) == 0
        assert {line.state(mail)["attempts"] for mail in neighbours} == {1}
        assert line.stack.queue_depth(line.dead_url) == 0
    logs_ids_only(worker, poison)


def test_an_outage_pauses_the_listener_and_brings_no_mail_nearer_to_the_dead_letters(line: Line) -> None:
    """While any of the three is down no message is received, even one that became visible again; afterwards all is filed."""
    urls = {"S3": "aws_endpoint", "Prefect": "prefect_api_url", "PostgreSQL": "database_url"}
    proxies = {name: Proxy(urlsplit(line.stack[url]).port or 0) for name, url in urls.items()}

    def through(name: str) -> str:
        url = str(line.stack[urls[name]])
        return url.replace(f":{urlsplit(url).port}", f":{proxies[name].port}")

    environment = {
        "AWS_ENDPOINT_URL_S3": through("S3"),
        "PREFECT_API_URL": through("Prefect"),
        "MAILROOM_PREFECT_API_URL": through("Prefect"),
        "MAILROOM_DATABASE_URL": through("PostgreSQL"),
        "PREFECT_CLIENT_MAX_RETRIES": "1",
    }
    with line.worker(**environment) as worker:
        line.ended(line.send("before"))
        for name, proxy in proxies.items():
            proxy.cut()
            mails = [line.send(f"during {name}") for _ in range(3)]
            wait_until(partial(worker.says, f"paused: {name} "), f"{name} is missed")
            time.sleep(max(2 * LONG_POLL_S, worker.started_s))
            mails.append(line.send(f"while paused by {name}"))
            before = line.receives_of(*mails)
            time.sleep(2 * HIDDEN_S)
            assert line.receives_of(*mails) == before
            assert before[-1] == 0
            proxy.mend()
            line.ended(*mails)
            assert [line.items(mail) for mail in mails] == [1, 1, 1, 1]

        assert line.stack.queue_depth(line.dead_url) == 0
        assert worker.stops_within(10)


def test_a_schema_that_disappears_under_the_worker_pauses_it_and_uses_up_no_receive(line: Line) -> None:
    """Somebody restores, renames or migrates past it. The stack's own worker, API and relay see it too, and go on."""
    with line.worker() as worker:
        line.ended(line.send("before"))
        change_schema(line.stack, "alter table inbox_item rename to away")
        try:
            mails = [line.send("while it goes") for _ in range(3)]
            wait_until(partial(worker.says, "paused: the schema "), "it is missed")
            wait_until(partial(paused_by, line.stack, "the schema"), "the roster shows it")
            ready = httpx.get(f"{line.stack['api_url']}/readyz", timeout=PATIENCE_S)
            time.sleep(max(LONG_POLL_S, worker.started_s))
            mails.append(line.send("while it is away"))
            before = line.receives_of(*mails)
            time.sleep(HIDDEN_S)
            assert line.receives_of(*mails) == before
            assert before[-1] == 0
        finally:
            change_schema(line.stack, "alter table away rename to inbox_item")
        line.ended(*mails)

        # The emulator lists a message in flight twice: 2 is one receive.
        assert max(before) <= 2
        assert [line.items(mail) for mail in mails] == [1, 1, 1, 1]
        assert {line.state(mail)["deaths"] for mail in mails} == {0}
        assert line.stack.queue_depth(line.dead_url) == 0
        assert (ready.status_code, "mailroom migrate" in ready.text) == (503, True)
        assert worker.stops_within(10)
    wait_until(
        lambda: httpx.get(f"{line.stack['api_url']}/readyz", timeout=PATIENCE_S).is_success, "the API is ready again"
    )


def test_a_failing_run_goes_on_under_its_id_then_to_the_dead_letters_and_back(line: Line) -> None:
    """Every redelivery is the same run; after the last receive the message waits as a dead letter for `--dlq`."""
    attachment = b"%PDF-1.7 " + os.urandom(50)
    spoiled = spoil_archive(line.stack, attachment)
    with line.worker():
        mail = line.send("refused", attachment=attachment)
        wait_until(lambda: line.stack.queue_depth(line.dead_url) == 1, "it is a dead letter")
        before = line.state(mail)
        assert (before["state"], before["attempts"]) == ("failed", 4)
        assert line.run(mail)["run_count"] == 4

        archive_serves_again(line.stack, spoiled)
        dry = replay(line, "--dlq", "--dry-run")
        output = replay(line, "--dlq", "--json")
        line.ended(mail)

    assert "1 dead letters would be moved back" in dry
    assert json.loads(output) == {"dead_letters": 1, "moved": 1}
    assert line.state(mail)["run_id"] == before["run_id"]
    assert line.items(mail) == 1
    assert line.stack.queue_depth(line.dead_url) == 0


def test_a_mail_that_a_dead_worker_left_without_message_is_replayed(place: Stack, ledger: SqlLedger) -> None:
    """A replayed mail has no message; when its worker is killed its run stays Running until it is replayed again."""
    mail, bucket = "left" + os.urandom(8).hex(), place["inbound_bucket"]
    with unannounced(place):
        store_as_ses(place, bucket, mail, b"Subject: left\r\n\r\nHello\r\n", recipient=TO)
    deployment = place.prefect("GET", "/deployments/name/receive-email/receive-email")
    body = {"parameters": {"bucket": bucket, "key": f"in/{mail}"}, "state": {"type": "PENDING"}}
    run = place.prefect("POST", f"/deployments/{deployment['id']}/create_flow_run", body)
    place.prefect("POST", f"/flow_runs/{run['id']}/set_state", {"state": {"type": "RUNNING"}})
    died_at = datetime.now(UTC) - timedelta(minutes=20)
    ledger.begin(ObjectRef(bucket, f"in/{mail}"), now=died_at, run_id=run["id"], claim=Lease("dead", died_at))

    place.mailroom("replay", "--state", "processing")

    assert place.wait_closed(mail)["email"]["deaths"] == 1
    assert place.prefect("GET", f"/flow_runs/{run['id']}")["state_type"] == "COMPLETED"


def test_the_sweep_finds_every_mail_whose_notification_was_lost(place: Stack, ledger: SqlLedger) -> None:
    """R10: the objects are there, the queue knows nothing. One sweep announces all of them, and a silent entry too."""
    bucket, lost = place["inbound_bucket"], ["lost" + os.urandom(8).hex() for _ in range(20)]
    with unannounced(place):
        for mail in lost:
            store_as_ses(place, bucket, mail, b"Subject: lost\r\n\r\nHello\r\n", recipient=TO)
    died_at = datetime.now(UTC) - timedelta(minutes=20)
    ledger.begin(ObjectRef(bucket, f"in/{lost[0]}"), now=died_at, claim=Lease("dead", died_at))

    deployment = place.prefect("GET", "/deployments/name/sweep-inbound/sweep-inbound")
    body = {"parameters": {"older_than_minutes": 0}}
    run = place.prefect("POST", f"/deployments/{deployment['id']}/create_flow_run", body)

    filed = "select e.message_id from inbox_item join inbound_email e on e.id = email_id where e.message_id = any(%s)"
    wait_until(lambda: len(place.ask(filed, lost)) >= len(lost), "all of them are filed")
    assert sorted(place.ask(filed, lost)) == sorted((mail,) for mail in lost)
    ended = place.prefect("GET", f"/flow_runs/{run['id']}")
    assert ended["state"]["message"] == "queued again: 1 stopped, 19 unknown"
    reports = place.prefect("POST", "/artifacts/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})
    assert all(mail in reports[0]["data"] for mail in lost)


def is_leased(stack: Stack, message_id: str) -> bool:
    """Return whether `mailroom status` names a worker with a lease on this e-mail."""
    return any(message_id in worker["holds"] for worker in stack.json("status")["workers"])


def logs_ids_only(worker: Worker, message_id: str) -> None:
    """Fail unless the worker and its children wrote one JSON object a line, and no content of a mail."""
    output = [json.loads(line) for line in worker.log.read_text().splitlines()]
    assert any(message_id in one["message"] for one in output)
    assert {"at", "level", "logger", "event", "facts", "message"} <= set.intersection(*(set(one) for one in output))
    for secret in (TO, "office.test", "neighbour", "Attached", "a.pdf"):
        assert secret not in worker.log.read_text()


def replay(line: Line, *arguments: str) -> str:
    """Return what `mailroom replay` says for the line's queue."""
    command = [sys.executable, "-m", "mailroom.cli", "replay", *arguments]
    ended = subprocess.run(
        command, env=line.environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def change_schema(stack: Stack, statement: str) -> None:
    with psycopg.connect(stack["database_owner_url"], autocommit=True) as connection:
        connection.execute(statement)


def paused_by(stack: Stack, what: str) -> bool:
    """Return whether `mailroom status` shows a worker that this pauses."""
    return any(worker["paused_by"] == what for worker in stack.json("status")["workers"])
